"""Images: from the bytes of a file to the input of a graph.

`headers` reads the header, `decode` decodes the pixels, `colour` converts them to sRGB, and
`preprocess` applies the steps of a spec by means of `resize` and `geometry`.
"""
