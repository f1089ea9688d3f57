"""`export`: model and explanation as one ONNX file that runs without dftlrp.

In the graph, Fourier transforms are matrix products (`dftlrp.ops.fourier`), and an STFT is a
convolution with windowed waves.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, checker, helper, numpy_helper

from dftlrp.core.backend import Backend, Window
from dftlrp.core.files import locate, regular, replace_file
from dftlrp.core.maps import Array
from dftlrp.core.names import suggest
from dftlrp.core.rule_text import Rule
from dftlrp.core.types import AnyArray, DftlrpError, InputError
from dftlrp.core.versions import find_versions
from dftlrp.engine.auto import answer_by_reference, choose_seed, name_reference
from dftlrp.engine.backward import find_values
from dftlrp.engine.composites import Composite
from dftlrp.engine.evaluate import Values
from dftlrp.engine.flows import Flow
from dftlrp.engine.forward import Ready, run_forward
from dftlrp.engine.model import Model, as_model, attach_front_end
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import SEEDS
from dftlrp.engine.settings import Settings
from dftlrp.graph.frontend import FrontEnd
from dftlrp.ops.fourier import Pair, apply_dft
from dftlrp.spectral import Stft, stft_for
from dftlrp.spectral.dft import make_bin_weights
from dftlrp.tracing.assembly import Traced
from dftlrp.tracing.batch import FixedBatchError, trace_any_batch
from dftlrp.tracing.meaning import describe_file
from dftlrp.tracing.original import compare_with_original
from dftlrp.tracing.session import load_runtime
from dftlrp.tracing.trace import GraphRequest, trace

TIME, FREQUENCY, TILES, INPUT = DOMAINS = ("time", "frequency", "time-frequency", "input")
ANY = "any"  # number of samples
KEY = "dftlrp"  # of the metadata of a file that was exported
FORMAT = 1  # of what stands there, and of names and shapes of inputs and outputs


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    composite: str | Composite = "auto",
    overrides: Mapping[str, str | Rule] | None = None,
    seed: str = "auto",
    output: str | None = None,
    bind: Mapping[str, Any] | None = None,
    batch: int | str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    domains: Sequence[str] = (TIME,),
    frontend: FrontEnd | str | os.PathLike[str] | None = None,
    masks: Sequence[str] = (),
    reference: str = "auto",
) -> Traced:
    """Write a model and its explanation as one ONNX file.

    The file reads the model's signals (float32; the waveform, if it is behind a front end) and
    ``target``: for each sample an index into its explained output, flattened, or -1 for the
    largest.  It gives ``output``, ``explained``, ``relevance`` and, if known, ``multiplier`` (with
    ``_NAME`` for each of several signals); and for further domains ``relevance_frequency``
    (batch, ..., K), ``relevance_time_frequency`` (batch, ..., K, T), and ``value_input`` and
    ``relevance_input`` in the shape that the model itself reads.  Its metadata entry ``dftlrp``
    (JSON) says what each means, with axes and units.

    Parameters
    ----------
    model : Model, path, torch module or Keras model
        As of `dftlrp.explain`.
    path : path
        Where to write the file.
    composite, overrides, seed, output, bind
        As of `dftlrp.attribute`; the seed is ``"logit"``, ``"contrast"``, ``"one"`` or ``"auto"``.
    batch : int or ``"any"``, optional
        Number of samples that the file explains at a time.  By default any, if the model leaves its
        batch open and computes each sample alike, else 1; the metadata says which, and why.
    shapes : dict, optional
        Shapes of inputs, if the model leaves other axes than the batch open.
    domains : list of str
        ``"time"`` (always included), ``"frequency"``, ``"time-frequency"``, and ``"input"``: what
        the model itself reads behind a front end.
    frontend : FrontEnd or path, optional
        As of `dftlrp.explain`.
    masks : list of str
        Layers under a condition, as of `dftlrp.attribute`: the file has an optional input
        ``mask/NAME`` for each (ones by default), of a shape that broadcasts to the layer's output,
        as (1, channels, 1).
    reference : str
        ``"silence"``, ``"none"`` or ``"auto"``, as of `dftlrp.attribute`.

    Returns
    -------
    Traced
        The graph that was written, with ``outputs`` by their meaning and ``rows`` of the account.

    Raises
    ------
    InputError
        A shape is open, a domain is unknown, or a domain needs the multiplier, which a rule at the
        input does not have.
    UnsupportedModelError
        A node cannot be written as ONNX nodes; the batch is to be ``"any"`` but the model fixes
        it.

    See Also
    --------
    explain : Explains without a file.
    load : Reads an exported file as any model.

    Examples
    --------
    >>> made = dftlrp.export("waveform", "explained.onnx", composite="EpsilonPlus")
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession("explained.onnx")
    >>> x = np.zeros((1, 1, 8000), np.float32)
    >>> (relevance,) = session.run(["relevance"], {"waveform": x, "target": np.array([7])})
    >>> relevance.shape
    (1, 1, 8000)
    """
    if wrong := [d for d in domains if d not in DOMAINS]:
        raise InputError(f"domain {wrong[0]!r}: a file can hold {', '.join(DOMAINS)}")
    model = as_model(model)
    _refuse_replacing(locate(path), model.path)
    model = attach_front_end(model, frontend)
    settings = Settings(output, bind or {}, composite, overrides or {})
    plan = model.plan(output, settings.bind)
    settings = replace(settings, reference=name_reference(reference, plan))
    reads = _list_read_value(plan) if INPUT in domains else []
    views = _Views(model.rate or 1.0, tuple(domains))

    def sample_at(samples: int, whole: bool = False) -> dict[str, AnyArray]:
        return _make_noise_sample(plan, samples, shapes or {}, whole)

    def trace_at(settings: Settings, samples: int, whole: bool) -> tuple[Ready, Traced]:
        sample = sample_at(samples, whole)
        ready = run_forward(model, sample, settings)
        keep = tuple(find_values(ready.plan, ready.table, reads))
        through = find_values(ready.plan, ready.table, masks)
        ones = tuple((name, (1,) * ready.values[name].ndim) for name in through)
        return ready, trace(
            ready,
            GraphRequest(
                _find_seed_kind(seed, ready, model), keep=keep, masks=ones, rows=samples * whole
            ),
            views,
        )

    ((ready, traced), told), compared = answer_by_reference(
        settings, plan, lambda known: _trace_batch(plan, batch, partial(trace_at, known))
    )
    _open_masks(traced)
    kind = _find_seed_kind(seed, ready, model)
    _add_metadata(traced, model, ready, {"seed": kind, "batch": told, "reference": str(compared)})
    whole = traced.whole()
    checker.check_model(whole, full_check=True)
    _compare_export(whole.SerializeToString(), traced, model, settings, sample_at)
    replace_file(path, whole.SerializeToString())
    return traced


def _refuse_replacing(path: Path, model: Path) -> None:
    """Raise InputError if a file is there that is no former export."""
    if path.resolve() == model.resolve():
        raise InputError(f"{path}: the export would replace the model: name another file")
    if not path.is_file():
        return
    with regular(path, InputError) as (file, _):
        there = ModelProto()
        try:
            there.ParseFromString(file.read())
        except DecodeError:
            there.Clear()
    if not any(entry.key == KEY for entry in there.metadata_props):
        raise InputError(
            f"{path}: was not written by dftlrp export, and would be replaced: name another file"
        )


def _compare_export(
    file: bytes, traced: Traced, model: Model, settings: Settings,
    sample_at: Callable[[int], dict[str, AnyArray]],
) -> None:  # fmt: skip
    """Raise ModelError if the file does not give the model's own output for a sample."""
    runtime = load_runtime(file)
    batch = {x.name: x.shape for x in runtime.get_inputs()}[traced.target][0]
    count = batch if isinstance(batch, int) else 1
    target = {traced.target: np.full(count, -1, np.int64)}
    single = {
        k: a.astype(np.float32) if a.dtype.kind == "f" else a for k, a in sample_at(count).items()
    }
    names = [traced.outputs[kind] for kind in ("output", "explained")]
    output, explained = runtime.run(names, {**single, **target})
    plan = model.plan(settings.output, settings.bind)
    given = {plan.output: output, plan.explained: explained}
    compare_with_original(model, single, settings, given)


def _open_masks(traced: Traced) -> None:
    """Let masks be left out, and have any shape that broadcasts."""
    graph = traced.model.graph
    for info in graph.input:
        if info.name.startswith("mask/"):
            dims = info.type.tensor_type.shape.dim
            ones = np.ones((1,) * len(dims), np.float32)
            graph.initializer.append(numpy_helper.from_array(ones, info.name))
            for place, dim in enumerate(dims):
                dim.dim_param = f"{info.name}/{place}"


def _list_read_value(plan: Plan) -> list[str]:
    """Return the value that the model itself reads behind a front end."""
    if not plan.graph.reads:
        raise InputError(
            f"domain {INPUT!r}: the model has no front end, what it reads itself is in 'relevance'"
        )
    return [plan.graph.reads]


def _find_seed_kind(seed: str, ready: Ready, model: Model) -> str:
    """Return the kind of seed, which must not name a class."""
    z = ready.values[ready.plan.explained]
    kind = choose_seed(seed, ready.plan, z.shape, model.labels).taken
    if kind not in SEEDS:
        raise InputError(f"seed {seed!r}: a file can hold {', '.join(SEEDS)}")
    return kind


def _trace_batch(
    plan: Plan, batch: int | str | None, at: Callable[[int, bool], tuple[Ready, Traced]]
) -> tuple[tuple[Ready, Traced], str]:
    """Return what is traced, and what to say of its batch."""
    if isinstance(batch, int):
        return at(batch, False), str(batch)
    if batch not in {None, ANY}:
        raise InputError(f"batch {batch!r}: a number or {ANY!r} is needed")
    try:
        return trace_any_batch(plan, lambda samples: at(samples, True)), ANY
    except FixedBatchError as error:
        if batch == ANY:
            raise FixedBatchError(f"batch {ANY!r}: {error}: name a number instead") from None
        return at(1, False), f"fixed: {error}"
    except DftlrpError as error:
        if batch == ANY:
            raise
        return at(1, False), f"fixed: {error}"  # or one sample alone says what is wrong


def _make_noise_sample(
    plan: Plan, batch: int, shapes: Mapping[str, Sequence[int]], whole: bool
) -> dict[str, AnyArray]:
    """Return noise in the shapes that the file is to read.

    The batch is the first size of each shape that leaves it open; if ``whole``, of every shape.
    """
    if batch < 1:
        raise InputError(f"batch {batch}: at least one sample is needed")
    if unknown := sorted(set(shapes) - set(plan.signals)):
        meant = suggest(unknown[0], plan.signals)
        raise InputError(f"shape of {unknown[0]!r}: {meant}the model reads {list(plan.signals)}")
    rng, sample = np.random.default_rng(0), {}
    for name, value in plan.signals.items():
        dims = list(shapes.get(name, value.dims or ()))
        if len(dims) > 1 and (whole or not dims[0]):
            dims[0] = batch
        shape = tuple(d or 0 for d in dims)
        if not shape or 0 in shape:
            raise InputError(
                f"input {name!r} has the open shape {value.dims}: give it, as --shape {name}=1,2,3"
            )
        noise = 0.1 * rng.standard_normal(shape) if value.is_float else rng.integers(0, 2, shape)
        sample[name] = noise
    return sample


# -- inspection layers in the graph


@dataclass(frozen=True)
class _Views:
    """Adds relevance in other domains to a graph, from signal and multiplier."""

    rate: float
    domains: tuple[str, ...]

    def __call__(
        self, bk: Backend, plan: Plan, values: Values, flows: Mapping[str, Flow]
    ) -> dict[str, Array]:
        wanted = [d for d in self.domains if d not in {TIME, INPUT}]
        if not wanted:
            return {}
        if len(plan.signals) != 1:
            raise InputError(f"the model reads {list(plan.signals)}: only one has other domains")
        name = next(iter(plan.signals))
        x, m = values[name], flows[name].multiplier
        if m is None:
            raise InputError(
                f"domain {wanted[0]!r} needs the multiplier, which a rule at the input has none of "
                "(flat, wsquare, zbox, pass): choose another composite"
            )
        made = {FREQUENCY: _add_frequency, TILES: self._add_tiles}
        return {f"relevance_{d.replace('-', '_')}": made[d](bk, x, m) for d in wanted}

    def _add_tiles(self, bk: Backend, x: Array, m: Array) -> Array:
        """R_tk = w_k Re(Y_tk conj C_tk), C_t = rfft(s m / W) on frame t."""
        domain = Stft(x.shape[-1], **stft_for(self.rate))
        W = domain.overlap
        inverse = np.where(1e-4 * W.max() < W, 1 / np.maximum(W, 1e-300), 0)
        Y = _transform_frames(bk, x, domain, domain.analysis_window)
        C = _transform_frames(bk, m * inverse, domain, domain.synthesis_window_array)
        K, T = domain.shape
        R = (Y.real * C.real + Y.imag * C.imag) * domain.weights[:, None]
        return bk.reshape(R, (*x.shape[:-1], K, T))


def _transform_frames(bk: Backend, x: Array, domain: Stft, window: AnyArray) -> Pair:
    """Return orthonormal transforms of windowed frames, (rows, K, T)."""
    n, L, K = domain.n, domain.n_fft, domain.bins
    left = round(L / 2 - float(domain.times[0]))
    right = max((domain.frames - 1) * domain.hop + L - left - n, 0)
    rows = bk.reshape(x, (math.prod(x.shape[:-1]), 1, n))
    waves = np.exp(-2j * np.pi * np.outer(np.arange(K), np.arange(L)) / L) * window / math.sqrt(L)
    g = Window((L,), (domain.hop,), (1,), ((0, 0),))
    padded = bk.pad(rows, ((0, 0), (0, 0), (left, right)))
    parts = np.concatenate([waves.real, waves.imag])[:, None, :]
    y = bk.conv(padded, parts, g)
    y = bk.slice(y, (slice(None), slice(None), slice(0, domain.frames)))
    every = slice(None)
    real, imag = (bk.slice(y, (every, slice(a, a + K), every)) for a in (0, K))
    return Pair(real, imag)


def _add_frequency(bk: Backend, x: Array, m: Array) -> Array:
    """R_k = w_k Re(Y_k conj C_k), orthonormal."""
    n = x.shape[-1]
    Y, C = apply_dft(bk, Pair(x)), apply_dft(bk, Pair(m))
    half = (*(slice(None),) * (x.ndim - 1), slice(0, n // 2 + 1))
    return bk.slice(Y.real * C.real + Y.imag * C.imag, half) * (make_bin_weights(n) / n)


# -- what the file says of itself


def _add_metadata(traced: Traced, model: Model, ready: Ready, taken: Mapping[str, str]) -> None:
    """Write what the file means into its metadata."""
    text = {
        "format": FORMAT,
        "composite": ready.table.composite,
        "rules": {la.key: la.rule_name for la in ready.table.layers if la.rule},
        **taken,
        "target": f"input {traced.target!r}: one index per sample into the explained output, "
        "flattened; -1: the largest",
        **describe_file(traced, model, ready.plan),
        "labels": model.labels,
        "model": model.path.name,
        "model sha256": model.graph.sha256,
        "rate": model.rate,
        "front end": model.frontend and model.frontend.to_text(),
        "versions": find_versions("dftlrp", "numpy", "onnx"),
    }
    own = {k: v for k, v in model.graph.metadata.items() if k != "frontend"}  # it is inside now
    helper.set_model_props(traced.model, own | {KEY: json.dumps(text)})
    traced.model.metadata_props.sort(key=lambda p: p.key)
