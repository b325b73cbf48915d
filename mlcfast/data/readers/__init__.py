"""Readers of label files: each returns a LabelSource, from which training and `inspect` are made."""
