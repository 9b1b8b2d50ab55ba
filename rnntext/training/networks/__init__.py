"""PyTorch networks: tensors in, tensors out. One module for each task, over a shared encoder."""
