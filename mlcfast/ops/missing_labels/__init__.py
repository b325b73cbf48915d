"""Entries of losses for labels of which some are missing."""
