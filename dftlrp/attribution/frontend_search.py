"""What a front end makes of a recording, and of the alternatives to each of its settings.

`Bench` computes features; what two declarations share, as the spectrum where only the logarithm
differs, is computed once.  `list_changes` gives the single settings that are usual.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from dftlrp.attribution.recording import Recording, fit
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.cache import Recent
from dftlrp.engine.evaluate import run_node
from dftlrp.engine.plan import make_plan
from dftlrp.graph.frontend import FrontEnd, prepend
from dftlrp.graph.structure import Graph, Node, Value

KEPT_VALUES = 300  # of nodes, so that pairs of settings share what they have in common
RATES = (8000.0, 11025.0, 16000.0, 22050.0, 24000.0, 32000.0, 44100.0, 48000.0)
FLOORS = (1e-12, 1e-10, 1e-9, 1e-8, 1.1920929e-07, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0)
LOGS = ("ln", "log10", "db", None)


@dataclass(frozen=True)
class Change:
    """A difference between the front end that was declared and the one that was run.

    Attributes
    ----------
    setting : str
        What differs; two changes of the same setting exclude each other.
    fields : dict
        Values of the front end's fields.
    order : tuple of int, optional
        Of the axes of the features that were given, where the layout differs.
    taken_at : float, optional
        Hertz of the samples that were taken for those at the front end's rate.
    usual : bool
        Whether the value is a usual one, not read from the features that were given.
    """

    setting: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[int, ...] | None = None
    taken_at: float | None = None
    usual: bool = True


def apply_changes(declared: FrontEnd, changes: Sequence[Change]) -> FrontEnd | None:
    """Return the front end with some settings changed; None where they do not go together."""
    given = {key: value for change in changes for key, value in change.fields.items()}
    if len(given) < sum(len(change.fields) for change in changes):
        return None
    try:
        return replace(declared, **given) if given else declared
    except InputError:
        return None


class Bench:
    """Computes the features of one recording under many front ends.

    Parameters
    ----------
    recording : Recording
        One channel, at its own rate.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.values = Recent[AnyArray](KEPT_VALUES)
        self.plan = make_plan(_make_reader(FrontEnd(8000)))

    def read_samples(self, rate: float) -> Real:
        """Return the samples at a rate, which are those of the file where it has no other."""
        key = ("samples", rate)
        return self.values.find(key, lambda: fit(self.recording, rate).samples)

    def count_frames(self, fe: FrontEnd, taken_at: float | None = None) -> int:
        """Return the number of frames that the recording has, without computing them."""
        own, rate = self.recording.rate or fe.rate, taken_at or fe.rate
        length = self.recording.length
        samples = length if own == rate else math.ceil(length * rate / own)
        if fe.transform == "stft" and samples < max(fe.shortest, fe.length(1)):
            return 0
        return fe.frames(samples)

    def compute(self, fe: FrontEnd, taken_at: float | None = None) -> Real:
        """Return features (time, frequency[, part]), or (frequency[, part]) of one DFT.

        Parameters
        ----------
        taken_at : float, optional
            Rate of the samples that the front end takes for its own.
        """
        rate = taken_at or fe.rate
        samples = self.read_samples(rate)
        graph = _make_reader(replace(fe, layout=fe.axes, samples=samples.shape[-1]))
        keys: dict[str, Hashable] = {next(iter(graph.inputs)): ("samples", rate)}
        keys |= {name: (array.shape, _sum_array(array)) for name, array in graph.constants.items()}
        values: dict[str, Any] = {next(iter(graph.inputs)): samples[None], **graph.constants}
        for node in graph.nodes:
            made_of = (node.op, repr(sorted(node.attrs.items())), *(keys[n] for n in node.inputs))
            keys[node.output] = hashlib.sha256(repr(made_of).encode()).digest()
            values[node.output] = self.values.find(
                keys[node.output], partial(self._run, node, values)
            )
        return np.asarray(values[graph.nodes[-1].output][0], np.float64)

    def _run(self, node: Node, values: dict[str, Any]) -> AnyArray:
        with np.errstate(all="ignore"):
            return np.asarray(run_node(self.plan, node, values, NUMPY, np.dtype(np.float64)))


def _make_reader(fe: FrontEnd) -> Graph:
    """Return a graph that gives what the front end computes."""
    value = Value((None,) * len(fe.layout), "float64")
    nodes = (Node("features", "Identity", ("read",)),)
    return prepend(Graph(nodes, {"read": value}, {"features": value}, {}), fe)


def _sum_array(array: AnyArray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()


def list_changes(fe: FrontEnd, features: Real, bench: Bench) -> list[Change]:
    """Return the usual alternatives to every setting, one setting at a time.

    Parameters
    ----------
    features : array (time, frequency[, part]), or without time
        Those that were given; their shape and their smallest number tell some settings.
    """
    found = [
        *_list_rates(fe, bench),
        *_list_frames(fe, features, bench),
        *_list_filters(fe, features),
        *_list_scales(fe, features),
        *_list_layouts(fe, features),
    ]
    fits = [c for c in found if (made := apply_changes(fe, [c])) is not None and (
        made != fe or c.order or c.taken_at)]  # fmt: skip
    known = dict[Hashable, Change]()
    for change in fits:
        known.setdefault((repr(apply_changes(fe, [change])), change.order, change.taken_at), change)
    return list(known.values())


def _list_rates(fe: FrontEnd, bench: Bench) -> Iterator[Change]:
    own = bench.recording.rate or fe.rate
    rates = sorted({*RATES, own, *(r / 2 for r in (fe.rate, own))} - {fe.rate})
    if own != fe.rate:
        yield Change("rate", taken_at=own)
    yield from (Change("rate", {"rate": rate}) for rate in rates)
    yield from (Change("rate", {"rate": rate}, taken_at=fe.rate) for rate in rates)


def _list_frames(fe: FrontEnd, features: Real, bench: Bench) -> Iterator[Change]:
    """Yield changes up to the power of the spectrum."""
    yield from (Change("amplitude", {"amplitude": a}) for a in ("unit", "int16", "peak", "rms"))
    yield from (Change("power", {"power": p}) for p in (1.0, 2.0))
    yield Change("orthonormal", {"orthonormal": not fe.orthonormal})
    if fe.transform == "dft":
        return
    length = fe.win_length or fe.n_fft
    spans = {round(ms * fe.rate / 1000) for ms in (16, 20, 25, 30, 32, 40, 50, 64)}
    sizes = {
        256,
        400,
        480,
        512,
        640,
        800,
        1024,
        2048,
        *spans,
        *(2 ** math.ceil(math.log2(n)) for n in spans),
    }
    if not (fe.n_mels or fe.n_mfcc) and fe.power is not None:
        sizes |= {2 * (n - 1) for n in features.shape if n > 1}
    hops = {64, 80, 100, 128, 160, 200, 256, 320, 400, 441, 480, 512, *(s // 2 for s in spans)}
    hops |= {round(fe.rate / 100), fe.n_fft // 2, fe.n_fft // 4, length // 2, length // 4}
    hops |= {hop for n in features.shape[:2] for hop in _solve_hop(fe, n, bench)}
    yield from (Change("hop", {"hop": hop}) for hop in sorted(hops - {0}))
    for size in sorted(sizes):
        yield Change("n_fft", {"n_fft": size} | ({"win_length": None} if length > size else {}))
        yield Change("n_fft and win_length", {"n_fft": size, "win_length": None})
    yield Change("win_length", {"win_length": None})
    yield from (Change("win_length", {"win_length": n}) for n in sorted(sizes) if n < fe.n_fft)
    for window, periodic in itertools.product(
        ("hann", "hamming", "blackman", "boxcar"), (True, False)
    ):
        yield Change("window", {"window": window, "periodic": periodic})
    yield Change("window", {"window": "povey"})
    for frame, center in itertools.product(("n_fft", "window"), (True, False)):
        for mode in ("constant", "reflect", "symmetric") if center else (fe.pad_mode,):
            yield Change("center", {"frame": frame, "center": center, "pad_mode": mode})
    yield Change("drop_last", {"drop_last": not fe.drop_last})
    yield Change("remove_dc", {"remove_dc": not fe.remove_dc})
    yield from (Change("preemphasis", {"preemphasis": p}) for p in (0.0, 0.9, 0.95, 0.97))


def _solve_hop(fe: FrontEnd, frames: int, bench: Bench) -> range:
    """Return all hops that give a number of frames."""
    samples = bench.read_samples(fe.rate).shape[-1] + sum(fe.padding) - fe.span
    steps = frames * fe.stack_hop - 1 + fe.drop_last
    if steps < 1 or samples < steps:
        return range(0)
    return range(
        max(1, samples // (steps + 1)), min(samples // steps, samples // (steps + 1) + 64) + 1
    )


def _list_filters(fe: FrontEnd, features: Real) -> Iterator[Change]:
    """Yield changes of the mel filters, and of what joins frequencies and frames."""
    counts = sorted(set(features.shape[:2]))
    yield from (Change("n_mels", {"n_mels": n}) for n in counts if not fe.n_mfcc and fe.stack == 1)
    yield from (Change("n_mfcc", {"n_mfcc": n}) for n in (None, *counts))
    if fe.n_mels:
        yield Change("n_mels", {"n_mels": None})
        yield Change("mel_scale", {"mel_scale": "htk" if fe.mel_scale == "slaney" else "slaney"})
        yield Change("mel_norm", {"mel_norm": None if fe.mel_norm else "slaney"})
        other: dict[str, dict[str, Any]] = {
            "hertz": {"triangles": "mel", "mel_norm": None},
            "mel": {"triangles": "hertz"},
        }
        yield Change("triangles", other[fe.triangles])
        for low in (0.0, 20.0, 30.0, 40.0, 50.0, 60.0, 64.0, 80.0, 100.0, 125.0, 300.0):
            yield Change("fmin", {"fmin": low})
        tops = (None, 3400.0, 3800.0, 4000.0, 5000.0, 6800.0, 7000.0, 7500.0, 7600.0, 8000.0)
        for high in (*tops, 11025.0, 14000.0, 16000.0, fe.rate / 2 - 100, fe.rate / 2 - 400):
            yield Change("fmax", {"fmax": high})
    for count, step in ((1, 1), (7, 6), (5, 1), (5, 3), (4, 3), (3, 3), (2, 2), (8, 8)):
        yield Change("stack", {"stack": count, "stack_hop": step})


def _list_scales(fe: FrontEnd, features: Real) -> Iterator[Change]:
    """Yield changes of the logarithm and of what follows it."""
    for log in LOGS:
        yield Change("log", {"log": log} | ({} if log == "db" else {"top_db": None}))
    found = [invert_log(fe, log, float(features.min())) for log in LOGS]
    lows = [floor for least in found if least > 0 for floor in (float(f"{least:.2g}"), least)]
    if fe.log:
        for n in (*FLOORS, *lows):
            yield Change("floor", {"floor": n, "offset": 0.0}, usual=n in FLOORS)
            yield Change("offset", {"floor": 0.0, "offset": n}, usual=n in FLOORS)
    if fe.log == "db":
        for top in (None, 60.0, 80.0, 100.0, 120.0):
            yield Change("top_db", {"top_db": top})
        if (spread := float(f"{np.ptp(features):.6g}")) > 0:
            yield Change("top_db", {"top_db": spread}, usual=False)
    yield Change("mean and std", {"mean": None, "std": None})
    for how in (None, "utterance", "feature", "mean"):
        yield Change("normalise", {"normalise": how})


def invert_log(fe: FrontEnd, log: str | None, level: float) -> float:
    """Return the number whose logarithm is a level; 0 where there is none."""
    exponent = {"ln": 1 / math.log(10), "log10": 1.0, "db": (fe.power or 2) / 20}.get(log or "")
    power = None if exponent is None else level * exponent
    return float(f"{10**power:.5g}") if power is not None and -30 < power < 10 else 0.0


def _list_layouts(fe: FrontEnd, features: Real) -> Iterator[Change]:
    for order in itertools.permutations(range(features.ndim)):
        if list(order) != sorted(order):
            yield Change("layout", order=order)
