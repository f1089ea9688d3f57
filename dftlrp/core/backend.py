"""The backend contract: a closed set of array primitives, and how to get a backend.

Rules and layers are written once over these.  An array of a backend supports
``+ - * /`` with NumPy's broadcasting, unary minus, ``.shape``, ``.ndim`` and ``.dtype``.  There
is no ``where`` and there are no comparisons: ``step`` gives a 0/1 array to multiply with, and
a rule never asks an array for its truth.  So the same rule computes in NumPy,
and can be traced into a graph.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol

from dftlrp.core.maps import Array
from dftlrp.core.types import AnyArray, InputError

Key = tuple[Any, ...]  # slices, one per axis


class Window(NamedTuple):
    """Geometry of a convolution or a pool over the last ``len(kernel)`` axes.

    ``pads`` has one (begin, end) pair per axis; kernel, strides, dilations and pads are
    in samples of that axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int = 1


def window_size(size: tuple[int, ...], g: Window) -> tuple[int, ...]:
    """Number of windows along each axis: floor((L + pads - dilated kernel) / stride) + 1."""
    return tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, d, p in zip(size, g.kernel, g.strides, g.dilations, g.pads, strict=True)
    )


class Backend(Protocol):
    """What a backend supplies.  Shapes follow NumPy and ONNX."""

    name: str
    numbers: bool  # whether fast transforms of NumPy and SciPy take its arrays

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        """Array of this backend."""

    def signal(self, x: Any) -> Array:
        """Numbers as an array that is a signal: what depends on it is only read with `read`."""

    def known(self, x: Array) -> bool:
        """Whether x does not depend on a signal: then NumPy may compute with its numbers."""

    def read(self, x: Array) -> AnyArray:
        """The numbers of x, for what is decided by them or reported."""

    # -- signs, with one tie law: zero counts as positive unless ``strict``
    def pos(self, x: Array) -> Array:
        """max(x, 0)."""

    def neg(self, x: Array) -> Array:
        """min(x, 0)."""

    def step(self, x: Array, strict: bool) -> Array:
        """1 where x > 0 (strict) or x >= 0, else 0, in the dtype of x."""

    def nonneg(self, x: Array) -> bool:
        """Whether x is known to be >= 0 everywhere; False is always a right answer."""

    # -- pointwise
    def exp(self, x: Array) -> Array:
        """e to the x."""

    def log(self, x: Array) -> Array:
        """Natural logarithm."""

    def sqrt(self, x: Array) -> Array:
        """Square root."""

    def erf(self, x: Array) -> Array:
        """Gauss error function."""

    def tanh(self, x: Array) -> Array:
        """Hyperbolic tangent."""

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + e^-x), without overflow."""

    def power(self, x: Array, exponent: Array) -> Array:
        """X to the exponent."""

    # -- movement
    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        """NumPy's reshape."""

    def transpose(self, x: Array, perm: tuple[int, ...]) -> Array:
        """NumPy's transpose."""

    def slice(self, x: Array, key: Key) -> Array:
        """Basic slicing, one slice per axis."""

    def slice_T(self, r: Array, key: Key, like: Array) -> Array:
        """Zeros in the shape of ``like`` with r written at ``key``."""

    def pad(self, x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
        """Constant padding, one (begin, end) pair per axis."""

    def concat(self, xs: tuple[Array, ...], axis: int) -> Array:
        """Join along an axis."""

    def expand(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Broadcast to a shape."""

    def take(self, x: Array, index: Any, fill: float = 0.0) -> Array:
        """Elements of the flattened x at an index array; ``fill`` where the index is -1."""

    def take_T(self, r: Array, index: Any, like: Array) -> Array:
        """Adjoint of `take`: r added up at the index, in the shape of ``like``."""

    # -- sums
    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """Sum over axes."""

    def sum_to(self, r: Array, like: Array) -> Array:
        """Adjoint of broadcasting ``like`` to the shape of r."""

    def ones_like(self, x: Array) -> Array:
        """Ones in shape and dtype of x."""

    # -- linear maps and winners
    def matmul(self, a: Array, b: Array) -> Array:
        """NumPy's matmul."""

    def conv(self, x: Array, w: Array, g: Window) -> Array:
        """ONNX's Conv without bias: x (B, C, *S), w (O, C / groups, *kernel)."""

    def conv_T(self, r: Array, w: Array, g: Window, size: tuple[int, ...]) -> Array:
        """Adjoint of `conv`: r (B, O, *T) to (B, C, *size)."""

    def maxpool(self, v: Array, x: Array, g: Window) -> Array:
        """``v`` at the winner of each window of x: the first of the largest, in row-major order."""

    def maxpool_T(self, r: Array, x: Array, g: Window) -> Array:
        """Adjoint of `maxpool` in v: r of each window to the winner."""


@cache
def _installed() -> dict[str, EntryPoint]:
    """The backends of installed distributions; to look is to read all their metadata."""
    return {point.name: point for point in entry_points(group="dftlrp.backends")}


def get_backend(name: str | Backend | None = None) -> Backend:
    """The backend of that name (None: ``"numpy"``, the float64 reference); a backend is itself.

    Behind a colon come its options, as in ``"onnx:CPUExecutionProvider:2"``.

    Raises
    ------
    InputError
        No installed distribution offers it; a requested backend is never replaced.
    """
    if name is not None and not isinstance(name, str):
        return name
    name, _, options = (name or "numpy").partition(":")
    known = _installed()
    if name not in known:
        raise InputError(f"unknown backend {name!r}: installed are {sorted(known)}")
    backend: Backend = known[name].load()
    if not options:
        return backend
    if not hasattr(backend, "with_options"):
        raise InputError(f"backend {name!r} takes no options, {options!r} given")
    chosen: Backend = backend.with_options(options)
    return chosen
