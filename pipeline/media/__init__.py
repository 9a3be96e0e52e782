"""Pictures, sounds and videos: found, checked, loaded and fitted to a model's limits."""
