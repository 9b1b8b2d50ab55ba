"""Strings to ids and back, and files to examples. No torch, no ONNX Runtime, no console."""
