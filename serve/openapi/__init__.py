"""The OpenAPI document of the server, made of the definitions that its requests are read by."""
