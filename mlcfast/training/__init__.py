"""A run from its configuration to its best model."""
