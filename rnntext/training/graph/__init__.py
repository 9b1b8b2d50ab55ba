"""Trained models as ONNX graphs, made from their weights alone."""
