"""The explanation of one recording as data, the table of domains, and what is made of both.

In come arrays of signal and relevance with their axes, and the ledger; out go sounds, tables,
figures, one self-contained HTML page, and a folder that can be read back.  `data` holds the
records, `views` the table of domains, `explanation` the class that users get.  This room must never
know a model, a graph or a backend: whatever it shows, it reads from the explanation.
"""
