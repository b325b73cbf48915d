"""Losses that are sums over entries (image, label): one operator, with a formula and its options, serves them all."""
