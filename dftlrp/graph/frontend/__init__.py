"""Front ends: the Python code that computed a model's input, declared and made part of the graph.

Many exported models read a spectrogram that some code computed before them.  A `FrontEnd` says
how, and becomes nodes in front of the model, so that relevance goes through it to the waveform:

    amplitude -> frames -> DFT -> power -> mel -> log -> DCT -> normalisation -> layout

Relevance goes through the linear steps by the epsilon rule with epsilon = 0 (relevance on exact
zeros, as in a silent frame, goes to the ledger) and passes power and logarithm; scales that depend
on the whole recording (peak, mean, deviation, the top of a dB range) are frozen.

A front end may be declared in a TOML file next to the model, with the attributes' names as keys::

    [frontend]
    rate = 16000
    n_fft = 400
    hop = 160
    n_mels = 64
    log = "ln"
    layout = ["batch", 1, "frequency", "time"]

`declaration` holds the `FrontEnd`, `fields` what its fields may hold, `chain` the nodes.
"""

from dftlrp.graph.frontend.chain import (
    PREFIX,
    find_levels,
    note_empty_filters,
    prepend,
    reads_mel,
)
from dftlrp.graph.frontend.declaration import FrontEnd, write_value
from dftlrp.graph.frontend.template import LIKE, make_template

__all__ = [
    "LIKE",
    "PREFIX",
    "FrontEnd",
    "find_levels",
    "make_template",
    "note_empty_filters",
    "prepend",
    "reads_mel",
    "write_value",
]
