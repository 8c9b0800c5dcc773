"""One file per model; its stem is the model's id. The directory listing is the registry."""
