"""A study: the question that is asked about a layer over a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.references import NOISE, find_references, identify_references
from dftlrp.attribution.waveform import WaveformInput, find_waveform, read_beside, read_signal
from dftlrp.concepts.recordings import Recordings
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.core.versions import find_versions
from dftlrp.engine.model import Model, attach_front_end, load
from dftlrp.engine.plan import Plan
from dftlrp.engine.settings import AUTO, NONE, Settings

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
    reference : tuple of str
        Names and paths of what every recording is compared with, as `name_references` returns them;
        `dftlrp.concepts.survey.settle_study` decides what ``"auto"`` is.
    spectra : bool
        Whether relevance is followed back to the recordings, for the spectra and maps of the
        classes; otherwise it goes no further than to the layer.

    See Also
    --------
    survey : Answers it over recordings.
    neurons : Makes one of plain arguments.

    Examples
    --------
    >>> from dftlrp.concepts.recordings import find_recordings
    >>> from dftlrp.concepts.study import read_sample
    >>> study = dftlrp.concepts.Study("model.onnx", "conv6", rate=8000.0, classes=10)
    >>> study.keywords["seed"]
    'logit'
    >>> model = study.loaded()
    >>> len(study.settings(read_sample(model, study, "clip.wav")))
    1
    >>> recordings = find_recordings("clips", 10, model.labels, rate=8000.0, channels=1)
    >>> study.identity(recordings)["layer"]
    'conv6'
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
    reference: tuple[str, ...] = (AUTO,)
    spectra: bool = True

    def loaded(self) -> Model:
        """Load the model and its front end.

        Returns
        -------
        Model
            Behind the front end, if it has one.
        """
        return attach_front_end(load(self.model, rate=self.rate), self.frontend)

    def settings(self, sample: Sample) -> list[Settings]:
        """Return how the model is run on a recording: for each reference, if there is any.

        Parameters
        ----------
        sample : Sample
            The recording as the model reads it.

        Returns
        -------
        list of Settings
            One where there is no reference.
        """
        plain = Settings(
            self.output, self.bind, self.composite, self.overrides, self.backend,
            reference=AUTO if self.reference == (AUTO,) else None,
        )  # fmt: skip
        name = sample.place.name
        return [replace(plain, reference={name: r}) for r in sample.references] or [plain]

    @property
    def keywords(self) -> dict[str, Any]:
        """Settings and seed as keyword arguments of `dftlrp.explain`, without the reference."""
        keys = ("seed", "composite", "overrides", "bind", "output", "backend")
        return {key: getattr(self, key) for key in keys}

    def identity(self, recordings: Recordings) -> dict[str, Any]:
        """Return all that the results depend on, as values that JSON can hold.

        Parameters
        ----------
        recordings : Recordings
            Of the data set.

        Returns
        -------
        dict
            With hashes of model and data, and versions; a store of other results is not continued.
        """
        model = self.loaded()  # hashed with weights that are in other files
        own = asdict(self) | {"model": model.graph.sha256, "frontend": repr(model.frontend)}
        versions = find_versions("dftlrp", "numpy", "scipy", "onnxruntime")
        own["reference"] = identify_references(self.reference)
        if self.spectra:
            del own["spectra"]  # as in stores from before there was a choice
        return {**own, "data": recordings.digest, "batch": [BATCH, SHARD], "versions": versions}


class Sample(NamedTuple):
    """A recording as the model reads it.

    Attributes
    ----------
    array : array (1, ...)
    place : WaveformInput
        Where the waveform lies in it.
    references : tuple of array
        What it is compared with, in shapes that broadcast to ``array``; empty where that is
        nothing.
    """

    array: AnyArray
    place: WaveformInput
    references: tuple[AnyArray, ...]


def name_references(asked: Any) -> tuple[str, ...]:
    """Return the names and paths of what every recording of a data set is compared with.

    Parameters
    ----------
    asked : str, path or list
        As of `dftlrp.explain`.

    Raises
    ------
    InputError
        If it is noise, which differs from recording to recording, or an array.
    """
    several = list(asked) if isinstance(asked, list | tuple) else [asked]
    if not all(isinstance(one, str | os.PathLike) for one in several):
        raise InputError("reference: over a data set give a name or sound files, not arrays")
    names = tuple(map(os.fspath, several))
    if NOISE in names:
        raise InputError(
            f"reference {NOISE!r} differs from recording to recording, but means are over answers "
            "to one question: give 'silence' or sound files"
        )
    return names


def read_sample(model: Model, study: Study, path: str) -> Sample:
    """Return a recording as the model reads it, and what it is compared with.

    Raises
    ------
    InputError
        If it cannot be read, or not be compared; the message begins with its path.
    """
    plan = model.plan(study.output, study.bind)
    place = find_waveform(plan, path)
    recording = read_signal(model, path, study.rate, place)
    asked = [NONE] if study.reference == (AUTO,) else list(study.reference)
    try:
        compared = find_references(
            asked, recording.samples,
            lambda other: read_beside(model, other, study.rate, place, recording),
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    points = [place.to_input(p) for p in compared.points] if compared else []
    return Sample(place.to_input(recording.samples), place, tuple(map(_compress_silence, points)))


def _compress_silence(point: Real) -> Real:
    """Return silence as one number, which recordings of every length are compared with."""
    return point if point.any() else np.zeros((1,) * point.ndim)


def count_together(plan: Plan, read: WaveformInput) -> int:
    """Return the number of samples to compute together: one if the model reads any length."""
    (value,) = plan.signals.values()
    alone = value.dims is not None and value.dims[0] == 1
    if alone or not read.length:
        return 1
    return max(1, min(BATCH, SAMPLES // (read.length * read.channels)))
