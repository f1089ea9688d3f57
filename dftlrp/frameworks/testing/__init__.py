"""The conformance suite: the laws that the backend of another framework has to satisfy.

    from dftlrp.frameworks.testing import check_backend
    check_backend("torch")

Each law is evaluated by the backend and by the NumPy reference, which defines the right answer;
pairs of make_adjoints must also pass the dot test.  The contract is in `dftlrp.core.backend`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import attribute
from dftlrp.core.backend import Backend, get_backend
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.evaluate import REFUSALS
from dftlrp.frameworks.testing.laws import (
    A,
    Function,
    Law,
    make_adjoints,
    make_laws,
    make_rule_laws,
)
from dftlrp.frameworks.testing.networks import make_attention, make_convolutions
from dftlrp.frameworks.testing.traced import run_traced
from dftlrp.tracing.onnx_backend import OnnxBackend

Run = Callable[..., list[AnyArray]]  # (function, *arrays) -> its results as NumPy arrays
TOLERANCE = {"float64": 1e-10, "float32": 2e-5}  # relative to the largest number
PRESETS = ("EpsilonPlus", "EpsilonAlpha2Beta1Flat", "EpsilonGammaBox", "AttnLRP", "Gradient")


def check_backend(
    backend: str | Backend, *, dtypes: Sequence[str] = (), run: Run | None = None
) -> None:
    """Check a backend against the contract and the NumPy reference.

    Parameters
    ----------
    backend : str or Backend
        As of `dftlrp.attribute`.
    dtypes : sequence of str, optional
        The dtypes to compute in; if not given, float64 and float32 (float32 for onnx).
    run : callable ``(f, *arrays) -> list of arrays``, optional
        Returns the results of ``f(backend, *signals)`` as NumPy arrays.  A backend that computes
        eagerly does not need it; one that traces does.

    Raises
    ------
    AssertionError
        If a law fails; the message names the primitive and the case.
    """
    bk = get_backend(backend)
    traces = isinstance(bk, OnnxBackend)
    run = run or (run_traced if traces else _make_eager_run(bk))
    for dtype in dtypes or (("float32",) if traces else ("float64", "float32")):
        for law in make_laws():
            _check_law(bk, law, run, dtype)
        for law in make_rule_laws():
            _check_law(bk, law, run, dtype, 10)
        for pair, forward, back, *arrays in make_adjoints():
            with _name_failure(bk, pair, f"dot test in {dtype}"):
                _assert_adjoint(
                    run, forward, back, [a.astype(dtype) for a in arrays], TOLERANCE[dtype]
                )
        _check_networks(bk, dtype)
    _check_signs(bk, run)
    _check_refusals(bk, run, traces)


def _make_eager_run(bk: Backend) -> Run:
    """Return the ``run`` of a backend that computes eagerly."""

    def run(f: Function, *arrays: Real) -> list[AnyArray]:
        return [bk.read(y) for y in _as_list(f(bk, *map(bk.signal, arrays)))]

    return run


def _as_list(y: Any) -> list[Any]:
    return list(y) if isinstance(y, list | tuple) else [y]


@contextmanager
def _name_failure(bk: Backend, primitive: str, case: str) -> Iterator[None]:
    """Raise any exception of the block as an `AssertionError` that names primitive and case."""
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        raise AssertionError(f"backend {bk.name!r}, {primitive} ({case}): {kind}{error}") from error


def _check_law(bk: Backend, law: Law, run: Run, dtype: str, slack: float = 1) -> None:
    """Check that shape, dtype and numbers are those of the reference."""
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in law.arrays]
    wanted = [np.asarray(y) for y in _as_list(law.f(NUMPY, *(a.astype(float) for a in arrays)))]
    with _name_failure(bk, law.primitive, f"{law.case}, {dtype}"):
        for ours, want in zip(run(law.f, *arrays), wanted, strict=True):
            _assert_close(ours, want, slack * TOLERANCE[dtype])
            assert ours.dtype == dtype, f"the result is of type {ours.dtype}"


def _assert_close(ours: AnyArray, want: AnyArray, tolerance: float) -> None:
    assert ours.shape == want.shape, f"shape {ours.shape} instead of {want.shape}"
    if not want.size:
        return
    scale = max(float(np.abs(want).max()), 1e-30)
    worst = float(np.abs(ours - want).max()) / scale
    assert worst <= tolerance, f"off by {worst:.1e} of the largest, allowed are {tolerance:.0e}"


def _assert_adjoint(
    run: Run, forward: Function, back: Function, arrays: list[Real], tolerance: float
) -> None:
    """Check that ``<A x, y> = <x, A^T y>``."""
    x, y, *others = arrays
    (ax,), (ay,) = run(forward, x, *others), run(back, y, *others)
    left, right = (float(np.sum(a * b, dtype=float)) for a, b in ((ax, y), (x, ay)))
    scale = float(np.linalg.norm(ax) * np.linalg.norm(y)) or 1.0
    assert abs(left - right) <= tolerance * scale, f"<A x, y> = {left}, <x, A^T y> = {right}"


def _check_signs(bk: Backend, run: Run) -> None:
    """Check that arrays are non-negative wherever ``nonneg`` says so."""
    said: list[bool] = []

    def each(here: Backend, a: Any) -> list[Any]:
        up, down = here.pos(a), here.neg(a)
        made = [a, up, down, up * up, up * down, -down, up + up, up - down, up - 1, abs(a), a * a]
        made += [here.step(a, True), here.exp(a), up * -2, here.reshape(-up, (-1,)), up - up]
        said.extend(map(here.nonneg, made))
        return made

    with _name_failure(bk, "nonneg", "known signs"):
        found = run(each, A.astype(np.float32))
        assert all(not known or (a >= 0).all() for known, a in zip(said, found, strict=True))


def _check_refusals(bk: Backend, run: Run, traces: bool) -> None:
    """Check that arguments that do not fit are refused, with the exceptions of NumPy."""
    wrong: dict[str, Function] = {
        "+": lambda _, a: a + np.ones(5),
        "matmul": lambda bk, a: bk.matmul(a, np.ones((3, 2))),
        "reshape": lambda bk, a: bk.reshape(a, (5, 5)),
        "concat": lambda bk, a: bk.concat((a, np.ones((2, 2, 2))), 1),
    }
    for primitive, f in wrong.items():
        with _name_failure(bk, primitive, "shapes that do not fit"):
            _assert_refused(partial(run, f, A), Exception if traces else REFUSALS)
    if not bk.numbers:
        with _name_failure(bk, "signal", "conversion to NumPy"):
            _assert_refused(lambda: run(lambda _, a: np.asarray(a), A), TypeError)


def _assert_refused(call: Callable[[], Any], kinds: Any) -> None:
    try:
        call()
    except kinds:
        return
    raise AssertionError("is not refused")


def _check_networks(bk: Backend, dtype: str) -> None:
    """Compare relevance, output and ledger of whole networks by every preset."""
    for name, make in {"convolutions": make_convolutions, "attention": make_attention}.items():
        model, x = make()
        for preset in PRESETS:
            with _name_failure(bk, f"preset {preset}", f"a network of {name}, {dtype}"):
                want = attribute(model, x, target=1, composite=preset, backend="numpy")
                ours = attribute(model, x, target=1, composite=preset, backend=bk, dtype=dtype)
                for mine, one in ((ours.relevance, want.relevance), (ours.output, want.output)):
                    _assert_close(np.asarray(mine), np.asarray(one), 100 * TOLERANCE[dtype])
                assert ours.ledger.gap <= 100 * TOLERANCE[dtype], "the ledger does not close"
