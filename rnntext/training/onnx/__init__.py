"""ONNX graphs built node by node from weights, in float32 and int8, and checked."""
