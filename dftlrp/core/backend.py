"""The backend contract: all that an adapter author has to supply.

Ops and rules are written once, on arrays of a backend.  A backend supplies

* the primitives, which are the methods of `Backend`;
* arrays with ``shape``, ``ndim``, ``size``, ``dtype`` and ``T``; with NumPy's operators
  ``+ - * / ** abs`` and comparisons, broadcast as NumPy does, where the other operand may be a
  number or a NumPy array; with indexing by slices, integers, None, Ellipsis or one array of
  integers; and with the methods ``astype``, ``reshape``, ``transpose``, ``swapaxes``, ``ravel``,
  ``take`` and ``sum``;
* the functions of NumPy that `NUMPY_FUNCTIONS` lists, on these arrays.

`dftlrp.core.arrays.BackendArray` and `dftlrp.core.dispatch.DispatchBackend` turn all three into
calls of functions by name.  With them an adapter is one table: the functions of
`NUMPY_FUNCTIONS`, those of `OWN_FUNCTIONS` for the primitives that NumPy does not have, and
``getitem(x, key)`` and ``astype(x, dtype)`` for indexing and conversion.

A rule never asks an array for its truth: there is no branch on numbers, but `Backend.step`, whose
zeros and ones are multiplied with.  So the same text computes and can be traced into a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np

from dftlrp.core.maps import Array
from dftlrp.core.names import suggest
from dftlrp.core.programs import Watcher
from dftlrp.core.types import AnyArray, InputError, Shape

Key = tuple[Any, ...]  # slices, one per axis

UNARY, BINARY = ("x",), ("a", "b")
NUMPY_FUNCTIONS: dict[str, tuple[str, ...]] = {  # by name: the arguments that are used
    **dict.fromkeys(
        ("negative", "absolute", "sign", "exp", "log", "sqrt", "sin", "cos", "tan", "arcsin",
         "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "floor",
         "ceil", "rint", "round", "isfinite", "isinf", "isnan", "isneginf", "ones_like",
         "zeros_like"), UNARY
    ),
    **dict.fromkeys(
        ("add", "subtract", "multiply", "divide", "power", "fmod", "maximum", "minimum", "equal",
         "greater", "greater_equal", "less", "less_equal", "matmul"), BINARY
    ),
    "where": ("condition", "a", "b"),
    "clip": ("x", "low", "high"),  # each bound a number, an array or None
    "full_like": ("x", "value"),
    # along axes; an axis is an integer, a tuple of these or None
    "sum": ("x", "axis", "keepdims"),
    "max": ("x", "axis", "keepdims", "initial"),
    "min": ("x", "axis", "keepdims", "initial"),
    "argmax": ("x", "axis", "keepdims"),  # the first of the largest
    "argmin": ("x", "axis", "keepdims"),
    "argsort": ("x", "axis", "kind"),  # stable
    "cumsum": ("x", "axis", "dtype"),
    "cumprod": ("x", "axis", "dtype"),
    "einsum": ("equation", "*arrays", "optimize"),
    # movement
    "reshape": ("x", "shape"),
    "transpose": ("x", "perm"),
    "moveaxis": ("x", "source", "destination"),
    "broadcast_to": ("x", "shape"),
    "flip": ("x", "axis"),
    "pad": ("x", "pads", "constant_values"),
    "concatenate": ("arrays", "axis"),
    "take": ("x", "index", "axis"),
}  # fmt: skip
OWN_FUNCTIONS: dict[str, tuple[str, ...]] = {  # as the primitives, but for the shape of adjoints
    "pos": UNARY,
    "neg": UNARY,
    "step": ("x", "strict"),
    "erf": UNARY,
    "sigmoid": UNARY,
    "slice_T": ("r", "key", "shape"),
    "pick": ("x", "index", "fill"),
    "pick_T": ("r", "index", "shape"),
    "conv": ("x", "w", "g"),
    "conv_T": ("r", "w", "g", "size"),
    "maxpool": ("v", "x", "g"),
    "maxpool_T": ("r", "x", "g"),
}


class Window(NamedTuple):
    """Geometry of a convolution or a pool over the last ``len(kernel)`` axes.

    Attributes
    ----------
    kernel, strides, dilations : tuple of int
        In samples, one for each axis.
    pads : tuple of (int, int)
        Samples before the begin and after the end of each axis.
    groups : int
        Into how many groups the channels are divided.
    """

    kernel: Shape
    strides: Shape
    dilations: Shape
    pads: tuple[tuple[int, int], ...]
    groups: int = 1


def window_size(size: Shape, g: Window) -> Shape:
    """Return the number of windows on each axis.

    It is floor((n + pads - dilation (kernel - 1) - 1) / stride) + 1 on an axis of n samples.
    """
    return tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(size, g.kernel, g.strides, g.dilations, g.pads, strict=True)
    )


def is_whole(size: Shape, g: Window) -> bool:
    """Whether there is one window, of all samples."""
    return g.kernel == tuple(size) and not np.any(g.pads) and set(g.dilations) <= {1}


def slice_taps(g: Window, counts: Shape) -> list[Key]:
    """Return for each tap of the kernel, in row-major order, what it reads of the padded input.

    A tap is one place of the kernel: what the windows (``counts`` on each axis) read there is a
    strided slice.
    """
    return [
        tuple(
            slice(k * d, k * d + s * (n - 1) + 1, s)
            for k, d, s, n in zip(tap, g.dilations, g.strides, counts, strict=True)
        )
        for tap in product(*map(range, g.kernel))
    ]


class Backend(Protocol):
    """The primitives, whose shapes follow NumPy and ONNX.

    Attributes
    ----------
    name : str
        As users give it.
    numbers : bool
        Whether its arrays are NumPy's, which the fast transforms of NumPy and SciPy take.
    """

    name: str
    numbers: bool

    # -- arrays

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Return numbers as an array that does not depend on a signal."""

    def signal(self, x: Any) -> Array:
        """Return numbers as a signal: what depends on it is only read with `read`."""

    def known(self, x: Array) -> bool:
        """Return whether x does not depend on a signal, so that NumPy may compute with it."""

    def read(self, x: Array) -> AnyArray:
        """Return the numbers of x, for a decision that depends on them or for a report."""

    def read_all(self, xs: Sequence[Array]) -> list[AnyArray]:
        """Return the numbers of several arrays."""

    def start_watching(self) -> Watcher | None:
        """Return what notes the functions that are called, or None where nothing is gained."""

    def tell_rounding(self, dtype: np.dtype[Any]) -> str:
        """Return what products in a dtype may be rounded to that holds less, in a few words.

        Empty where they are computed in the dtype.  It may change from call to call, as switches of
        a framework do.
        """

    # -- signs; zero counts as positive unless ``strict``

    def pos(self, x: Array) -> Array:
        """Return max(x, 0)."""

    def neg(self, x: Array) -> Array:
        """Return min(x, 0)."""

    def step(self, x: Array, strict: bool) -> Array:
        """Return 1 where x > 0 (strict) or x >= 0, else 0, in the dtype of x."""

    def nonneg(self, x: Array) -> bool:
        """Return whether x is known to be >= 0 everywhere; False is always a right answer."""

    # -- pointwise

    def exp(self, x: Array) -> Array:
        """Return e to the power of x."""

    def log(self, x: Array) -> Array:
        """Return the natural logarithm."""

    def sqrt(self, x: Array) -> Array:
        """Return the square root."""

    def erf(self, x: Array) -> Array:
        """Return the Gauss error function."""

    def tanh(self, x: Array) -> Array:
        """Return the hyperbolic tangent."""

    def sigmoid(self, x: Array) -> Array:
        """Return 1 / (1 + e^-x), without overflow."""

    def power(self, x: Array, exponent: Array) -> Array:
        """Return x to the power of the exponent."""

    # -- movement

    def reshape(self, x: Array, shape: Shape) -> Array:
        """Return x in another shape; one entry may be -1."""

    def transpose(self, x: Array, perm: Shape) -> Array:
        """Return x with its axes in another order."""

    def slice(self, x: Array, key: Key) -> Array:
        """Return x at one slice per axis; a step may be negative."""

    def slice_T(self, r: Array, key: Key, like: Array) -> Array:
        """Return the adjoint of `slice`: zeros in the shape of ``like`` with r at ``key``."""

    def pad(self, x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
        """Return x with a constant around it, one (begin, end) pair per axis."""

    def concat(self, xs: tuple[Array, ...], axis: int) -> Array:
        """Return arrays joined along an axis."""

    def expand(self, x: Array, shape: Shape) -> Array:
        """Return x broadcast to a shape."""

    def pick(self, x: Array, index: Any, fill: float = 0.0) -> Array:
        """Return elements of the flattened x at an index array, ``fill`` where that is -1."""

    def pick_T(self, r: Array, index: Any, like: Array) -> Array:
        """Return the adjoint of `pick`: r added up at the index, in the shape of ``like``."""

    # -- sums

    def sum(self, x: Array, axes: Shape, keepdims: bool) -> Array:
        """Return the sum over axes."""

    def sum_to(self, r: Array, like: Array) -> Array:
        """Return the adjoint of broadcasting ``like`` to the shape of r."""

    def ones_like(self, x: Array) -> Array:
        """Return ones in the shape and dtype of x."""

    # -- linear maps and winners

    def matmul(self, a: Array, b: Array) -> Array:
        """Return the matrix product, as NumPy defines it."""

    def conv(self, x: Array, w: Array, g: Window) -> Array:
        """Return ONNX's Conv without bias.

        x has the shape (B, C, *S), w (O, C / groups, *kernel) and the result (B, O, *T).
        """

    def conv_T(self, r: Array, w: Array, g: Window, size: Shape) -> Array:
        """Return the adjoint of `conv` in x: r of shape (B, O, *T) becomes (B, C, *size)."""

    def maxpool(self, v: Array, x: Array, g: Window) -> Array:
        """Return ``v`` at the winner of each window of x.

        The winner is the first of the largest in row-major order; padding never wins.
        """

    def maxpool_T(self, r: Array, x: Array, g: Window) -> Array:
        """Return the adjoint of `maxpool` in v: r of each window at its winner."""


@cache
def _find_backends() -> dict[str, EntryPoint]:
    """Return the backends of installed distributions; to look is to read all their metadata."""
    return {point.name: point for point in entry_points(group="dftlrp.backends")}


def get_backend(name: str | Backend | None = None) -> Backend:
    """Return a backend by its name.

    Parameters
    ----------
    name : str or Backend, optional
        None is ``"numpy"``, the float64 reference.  Behind a colon come a backend's options, as
        in ``"onnx:CPUExecutionProvider:2"``.  A backend is returned as it is.

    Raises
    ------
    InputError
        No installed distribution offers it (no other one is taken in its place), or it takes no
        options.
    """
    if name is not None and not isinstance(name, str):
        return name
    name, _, options = (name or "numpy").partition(":")
    known = _find_backends()
    if name not in known:
        meant = suggest(name, known)
        raise InputError(f"unknown backend {name!r}: {meant}installed are {sorted(known)}")
    backend: Backend = known[name].load()
    if not options:
        return backend
    if not hasattr(backend, "with_options"):
        raise InputError(f"backend {name!r} takes no options, {options!r} given")
    chosen: Backend = backend.with_options(options)
    return chosen
