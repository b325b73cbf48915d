"""A grid of settings, its runs and their table."""
