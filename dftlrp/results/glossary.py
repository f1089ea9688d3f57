"""The words of this project, each in two sentences; the report shows them.

``python docs/reference/glossary.py`` writes docs/reference/glossary.md from this table.
"""

TERMS = {
    "LRP": (
        "Layer-wise relevance propagation: the score of a model is divided among the inputs of its "
        "last layer, the part of each of these among the inputs of the layer before, and so on to "
        "the recording. "
        "A rule says how a layer divides, and nothing is lost on the way but what the ledger lists."
    ),
    "relevance": (
        "The part of the explained score that is attributed to one value of the signal or of a "
        "layer; positive relevance supports the output, negative relevance opposes it. "
        "The relevance of all values together adds up to the seed, except for the parts that the "
        "ledger lists."
    ),
    "seed": (
        "The quantity at the output that is explained and divided into relevance: the score of a "
        "class (logit), a contrast, or one. "
        "Every share of relevance is a share of the seed."
    ),
    "contrast": (
        "A seed that explains one class against others: its score minus the average score of the "
        "other classes, or minus the score of one named class. "
        "What all classes have in common cancels."
    ),
    "lead": (
        "How far the score of a class lies above the average score of the other classes, or above "
        "the score of one named class. "
        "It is what a contrast explains."
    ),
    "rule": (
        "The formula by which one layer divides the relevance of its outputs among its inputs, "
        "such as epsilon or zplus. "
        "A rule sees a layer only as a linear map at the current values, so the same rule serves "
        "every operator."
    ),
    "composite": (
        "The choice of one rule for every layer of a model, such as EpsilonPlus: a preset. "
        "A composite has a name, and single layers can override it."
    ),
    "method": (
        "The way in which relevance is computed: LRP by its rules, gradients at one or many "
        "points, or the scores of recordings of which parts are replaced. "
        "All methods give the same kind of result, so that they can be compared."
    ),
    "reference": (
        "The input that an explanation compares the recording with; silence, unless another is "
        "named. "
        "The relevance of a method with a reference divides the score at the recording minus the "
        "score at the reference."
    ),
    "bias": (
        "A number that a layer adds whatever it reads, and so a part of the score that no part of "
        "the recording made. "
        "Its relevance is listed in the ledger; against a reference it is zero."
    ),
    "stabiliser": (
        "A small number that is added to the denominator of a rule, away from zero, so that the "
        "rule never divides by zero. "
        "The relevance that it takes is listed in the ledger."
    ),
    "stopped": (
        "Relevance that arrived at a value that carries none, such as a constant or a shape, or "
        "that a condition holds back. "
        "It reaches no part of the recording and is listed in the ledger."
    ),
    "ledger": (
        "The account of where the relevance of every layer went: to its inputs, to its bias, to "
        "the stabiliser, to what changes between a reference and the recording though a rule holds "
        "it fixed, or stopped at values that carry none. "
        "Each part is computed on its own, and what they miss of the relevance that arrived is the "
        "error of the check."
    ),
    "domain": (
        "A representation of the signal in which relevance is shown: time, frequency, "
        "time-frequency, mel, or what the model itself reads (input). "
        "Relevance moves from the waveform to a domain exactly, except for the rest."
    ),
    "resynthesis": (
        "The sound of the time-frequency cells that supported the output: those that hold most "
        "of the positive relevance in full, weaker ones in proportion to it, nothing else. "
        "What it leaves out is the complement; the two add up to the recording."
    ),
    "rest": (
        "The relevance that a domain cannot show, such as that of samples that no window covers. "
        "The relevance of a domain and its rest add up to the same sum in every domain."
    ),
    "front end": (
        "The computation that turns a waveform into what the model reads, such as a mel "
        "spectrogram. "
        "It is declared in a file beside the model or in its metadata, and relevance passes back "
        "through it to the waveform."
    ),
}
