"""Files to arrays: images, sounds, clips and texts, decoded within limits."""
