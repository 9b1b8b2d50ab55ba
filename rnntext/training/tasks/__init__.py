"""Tasks of training. One module for each: its examples, objective, metric and defaults."""
