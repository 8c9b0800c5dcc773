"""The gait student: clinical conditions, their embeddings, and its training."""
