"""One conversion, from what it reads to a published version.

`job` holds what the user asks for and what is read for it, `inputs` resolves that once, `stages`
runs the stages in order (`load`, `export`, quantize, `verify`, package), `manifest` describes the
result, `subprocess_runner` gives each conversion its own process, `cache` recalls earlier ones.
"""
