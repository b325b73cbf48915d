"""Losses for full labels beyond the cross-entropy."""
