"""A study: the question that is asked about a layer over a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from dftlrp.attribution.waveform import WaveformInput, find_waveform, read_signal
from dftlrp.concepts.recordings import Recordings
from dftlrp.core.types import AnyArray
from dftlrp.engine.model import Model, attach_front_end, load
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import Settings

BATCH = 16  # recordings that are computed together; fixed, because sums of floats depend on it
SAMPLES = 2**18  # at most in a batch of several recordings
SHARD = 64  # recordings of one task


@dataclass(frozen=True)
class Study:
    """The question, with all that a worker needs to answer it for some recordings.

    Attributes
    ----------
    model : str
        Path of an ONNX file.
    layer : str
        A name in the layer table.
    rate : float
        Rate in hertz that the model reads.
    classes : int
        Number of classes of its output.
    seed, composite, overrides, bind, output, backend
        As of `dftlrp.attribute`; rules as text.
    frontend : str, optional
        Path of the declaration of a front end.
    k : int
        Number of prototypes that are kept for each neuron.
    """

    model: str
    layer: str
    rate: float
    classes: int
    seed: str = "logit"
    composite: str = "auto"
    overrides: Mapping[str, str] = field(default_factory=dict)
    bind: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    backend: str | None = None
    frontend: str | None = None
    k: int = 5

    def loaded(self) -> Model:
        """Load the model and its front end."""
        return attach_front_end(load(self.model, rate=self.rate), self.frontend)

    @property
    def settings(self) -> Settings:
        """How the model is run."""
        return Settings(
            self.output, self.bind, self.composite, self.overrides, self.backend, waveform=True
        )

    @property
    def keywords(self) -> dict[str, Any]:
        """Settings and seed as keyword arguments of `dftlrp.explain`."""
        keys = ("seed", "composite", "overrides", "bind", "output", "backend")
        return {key: getattr(self, key) for key in keys}

    def identity(self, recordings: Recordings) -> dict[str, Any]:
        """Return all that the results depend on, as values that JSON can hold."""
        model = self.loaded()  # hashed with weights that are in other files
        own = asdict(self) | {"model": model.graph.sha256, "frontend": repr(model.frontend)}
        versions = {n: version(n) for n in ("dftlrp", "numpy", "scipy", "onnxruntime")}
        return {**own, "data": recordings.digest, "batch": [BATCH, SHARD], "versions": versions}


def read_samples(model: Model, study: Study, path: str) -> tuple[AnyArray, WaveformInput]:
    """Return a recording as the model reads it, (1, ...), and where the waveform lies in it.

    Raises
    ------
    InputError
        If it cannot be read; the message begins with its path.
    """
    plan = model.plan(study.output, study.bind)
    read = find_waveform(plan, path)
    return read.to_input(read_signal(model, path, study.rate, read).samples), read


def count_together(plan: Plan, read: WaveformInput) -> int:
    """Return the number of samples to compute together: one if the model reads any length."""
    (value,) = plan.signals.values()
    alone = value.dims is not None and value.dims[0] == 1
    if alone or not read.length:
        return 1
    return max(1, min(BATCH, SAMPLES // (read.length * read.channels)))
