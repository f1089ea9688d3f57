"""The ground floor: what every other room is written in terms of.

It holds the errors and array types, the contract of a backend and its NumPy reference, the three
kinds of map (`Affine`, `Route`, `Stop`), the relevance rules over them, and the ledger.  In come
arrays and the map of one layer; out goes the relevance of that layer's inputs, and an account of
it.  This room must never know an ONNX op, a graph, a file format or a picture: a rule never sees
the name of an op, and a backend knows neither rules nor ops.
"""
