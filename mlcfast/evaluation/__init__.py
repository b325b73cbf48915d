"""Scores gathered over ranks, stored weights on a split, comparing models, predicting files."""
