"""From an ONNX file to a plan that can be evaluated and explained."""
