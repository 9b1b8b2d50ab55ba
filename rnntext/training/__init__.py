"""Training: data, networks, the loop and export to ONNX. The only package that imports PyTorch."""
