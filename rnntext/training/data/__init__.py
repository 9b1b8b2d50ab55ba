"""Training data: read, split, encoded into a cache, and read back in batches."""
