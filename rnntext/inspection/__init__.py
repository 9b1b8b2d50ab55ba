"""Looks inside a trained model: its states, its gates, what it remembers. Needs no PyTorch, but for
what needs gradients (`training/gradients.py`)."""
