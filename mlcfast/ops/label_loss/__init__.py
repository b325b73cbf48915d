"""The losses that are sums of entries: one operator, with a formula and its options, serves them all."""
