"""The commands of `rnntext compare`."""
