"""ONNX files made from graphs, in float32 and int8, and compared with their networks."""
