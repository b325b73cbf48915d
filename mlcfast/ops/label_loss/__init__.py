"""One operator for the losses that are sums of entries, told apart by a formula's number."""
