"""Finds, checks and loads pictures, sounds and videos, and fits them to a model's limits."""
