"""Why this output?  Relevance of ONNX models for sound and other signals, to see and to hear.

>>> e = dftlrp.explain("model.onnx", "clip.wav")    # or "waveform", an embedded model
>>> print(e)                                        # ten lines; in a notebook a page that plays
Explanation of "seven" in clip.wav by model.onnx...
>>> files = e.save("out")                           # report.html, sounds, tables, arrays

Explain
explain             one output of a model for one recording, in time, frequency and other domains
explain_recording   a recording of any length: when, and the strongest moments explained
explain_many        folders and lists of recordings: one page, one table, each in its folder
explain_features    what a model reads behind a front end of which nothing is known
attribute           relevance of arrays of any shape, in batches
predict             outputs of a model for arrays
Explanation         what explain returns: show, hear, measure, save
Timeline            what explain_recording returns
Explanations        what explain_many returns
Attribution         what attribute returns: plain arrays
Ledger              where the relevance of every node went

Models
load                a model from an ONNX file, a torch module or a Keras model
inspect             its layers, as they are explained; what is refused and why
check               an exported model against its network
check_frontend      a declared front end against your own features
export              a model and its explanation as one ONNX file
embedded            paths of the models and the clip that come with the package
Model, Inspection, Check, FrontEndCheck    what these return
FrontEnd            how a waveform becomes what a model reads
Composite           rules for kinds of layers

Side by side
compare             explanations of two classes, models, recordings or methods
Comparison          where they differ, and one page for all

Is it right?
evaluate            which explanation is right, over a data set
metrics             measures of explanations, one by one

Transforms
dft_lrp, stft_lrp                   relevance from time to frequency, and to both
inverse_dft_lrp, inverse_stft_lrp   and back

Errors, each one line that says what to do
DftlrpError         any of InputError, ModelError, UnsupportedModelError, NonFiniteError

``dftlrp.concepts`` finds neurons over a data set; ``dftlrp --help`` lists the commands.  Names are
imported when they are first used, so that ``import dftlrp`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dftlrp.assets import embedded
    from dftlrp.attribution.array_explanation import explain_features
    from dftlrp.attribution.attribute import Attribution, attribute, predict
    from dftlrp.attribution.explain import explain
    from dftlrp.attribution.frontend_check import check_frontend
    from dftlrp.attribution.frontend_result import FrontEndCheck
    from dftlrp.attribution.long_recording import explain_recording
    from dftlrp.concepts.explain_many import explain_many
    from dftlrp.concepts.explanations import Explanations
    from dftlrp.core.ledger import Ledger
    from dftlrp.core.types import (
        DftlrpError,
        InputError,
        ModelError,
        NonFiniteError,
        UnsupportedModelError,
    )
    from dftlrp.engine.composites import Composite
    from dftlrp.engine.inspection import Inspection, inspect
    from dftlrp.engine.model import Model, load
    from dftlrp.evaluation import metrics
    from dftlrp.evaluation.data_set import evaluate
    from dftlrp.frameworks.checking import Check, check
    from dftlrp.graph.frontend import FrontEnd
    from dftlrp.results.comparison import Comparison, compare
    from dftlrp.results.explanation import Explanation
    from dftlrp.results.timeline import Timeline
    from dftlrp.spectral import dft_lrp, inverse_dft_lrp, inverse_stft_lrp, stft_lrp
    from dftlrp.tracing.export import export

__all__ = [
    "Attribution",
    "Check",
    "Comparison",
    "Composite",
    "DftlrpError",
    "Explanation",
    "Explanations",
    "FrontEnd",
    "FrontEndCheck",
    "InputError",
    "Inspection",
    "Ledger",
    "Model",
    "ModelError",
    "NonFiniteError",
    "Timeline",
    "UnsupportedModelError",
    "attribute",
    "check",
    "check_frontend",
    "compare",
    "dft_lrp",
    "embedded",
    "evaluate",
    "explain",
    "explain_features",
    "explain_many",
    "explain_recording",
    "export",
    "inspect",
    "inverse_dft_lrp",
    "inverse_stft_lrp",
    "load",
    "metrics",
    "predict",
    "stft_lrp",
]

_HOME = {
    "Attribution": "attribution.attribute",
    "Check": "frameworks.checking",
    "Comparison": "results.comparison",
    "Composite": "engine.composites",
    "DftlrpError": "core.types",
    "Explanation": "results.explanation",
    "Explanations": "concepts.explanations",
    "FrontEnd": "graph.frontend",
    "FrontEndCheck": "attribution.frontend_result",
    "InputError": "core.types",
    "Inspection": "engine.inspection",
    "Ledger": "core.ledger",
    "Model": "engine.model",
    "ModelError": "core.types",
    "NonFiniteError": "core.types",
    "Timeline": "results.timeline",
    "UnsupportedModelError": "core.types",
    "attribute": "attribution.attribute",
    "check": "frameworks.checking",
    "check_frontend": "attribution.frontend_check",
    "compare": "results.comparison",
    "dft_lrp": "spectral",
    "embedded": "assets",
    "evaluate": "evaluation.data_set",
    "explain": "attribution.explain",
    "explain_features": "attribution.array_explanation",
    "explain_many": "concepts.explain_many",
    "explain_recording": "attribution.long_recording",
    "export": "tracing.export",
    "inspect": "engine.inspection",
    "inverse_dft_lrp": "spectral",
    "inverse_stft_lrp": "spectral",
    "load": "engine.model",
    "metrics": "evaluation",
    "predict": "attribution.attribute",
    "stft_lrp": "spectral",
}

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dftlrp' has no attribute {name!r}")
    return getattr(import_module(f"dftlrp.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
