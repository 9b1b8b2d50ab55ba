"""Training curves: what a run has logged as data, and pictures of it. Needs no PyTorch."""
