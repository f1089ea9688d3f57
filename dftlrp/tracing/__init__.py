"""Model and explanation as one ONNX graph, and the onnxruntime sessions that run it.

In comes a question about a model (what is explained, by which rules, for which shapes); out goes a
graph that answers it, run by onnxruntime here or written to a file.  The engine itself is run on
symbolic arrays whose operations append nodes.  This room must never know what a rule or an op does
(it only sees the primitives and functions that they call), what a recording is, or how a result
is shown.
"""
