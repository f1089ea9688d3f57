"""What adapters of other frameworks are made of, and how they and exported files are checked.

In come tensors and models of torch, TensorFlow or another framework; out go arrays that the rules
take, relevance that can be differentiated, and the findings of a comparison with the reference.
This room must never import a framework: an adapter supplies its functions, and nothing here knows
which one it is.
"""
