"""Linear models: features that are counted once, and weights that have one optimum."""
