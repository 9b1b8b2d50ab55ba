"""ONNX graphs as records, built node by node from weights, and compared with files."""
