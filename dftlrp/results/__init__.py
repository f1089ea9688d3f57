"""The explanation of one recording as data, and what is made of it: sound, figure, page, files.

In come arrays of signal and relevance with their axes, and the ledger; out go sounds, tables,
figures, one self-contained HTML page, and a folder that can be read back.  This room must never
know a model, a graph or a backend: whatever it shows, it reads from the `Explanation`.
"""
