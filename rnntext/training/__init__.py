"""Everything that imports torch: the model, its training and its export to ONNX."""
