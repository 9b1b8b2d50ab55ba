"""Splits raw text into tokens and words as training data did, without PyTorch."""
