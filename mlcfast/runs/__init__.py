"""A run's directory and its journal."""
