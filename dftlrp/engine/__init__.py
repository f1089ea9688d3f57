"""How relevance goes back through one model: plan, forward pass, rules by layer, backward pass.

In come a graph, arrays for its signals, a composite and a seed; out go the relevance of every
signal, the table of rules by layer, and the ledger.  The forward pass writes out loops and cells,
patterns of nodes are recognised as one layer at known values, and `carry_back` is the transposed
interpreter.  This room must never know which backend computes, what a recording or a domain is, or
how a result is shown.
"""
