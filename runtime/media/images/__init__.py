"""Images: `headers` reads the header, `decode` decodes it, `preprocess` fits it to a graph.

`preprocess` applies the steps of a spec by means of `resize` and `geometry`.
"""
