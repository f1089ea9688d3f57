"""What neither of torch's exporters writes, spelled in functions that both do.

A loaded graph is compared with the module's own call, where nothing is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Chosen(NamedTuple):
    """Numbers that were chosen from others, and where they stood, as torch gives them."""

    values: Tensor
    indices: Tensor


@contextmanager
def spelled() -> Iterator[None]:
    """While it lasts torch's functions of `SPELLINGS` compute by others."""
    from torch.overrides import TorchFunctionMode

    class Spelling(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            given = kwargs or {}
            spelling = SPELLINGS.get(getattr(func, "__name__", ""))
            result = spelling(*args, **given) if spelling else NotImplemented
            return func(*args, **given) if result is NotImplemented else result

    with Spelling():
        yield


def _median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the two in the middle of an even number."""
    if dim is None:
        return _median(x.flatten(), 0).values
    return _kthvalue(x, (int(x.shape[dim]) + 1) // 2, dim, keepdim)


def _kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Chosen:
    """The k-th smallest."""
    values, indices = (t.narrow(dim, k - 1, 1) for t in x.sort(dim))
    return Chosen(*((t if keepdim else t.squeeze(dim)) for t in (values, indices)))


def _adaptive_max(axes: int) -> Callable[..., Any]:
    def pool(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        """The maxima of bins of floor(i n / m) to ceil((i + 1) n / m), one axis after another."""
        import torch

        if return_indices:
            return NotImplemented
        sizes = output_size if isinstance(output_size, Sequence) else (output_size,) * axes
        for axis, m in zip(range(-axes, 0), sizes, strict=True):
            n = int(x.shape[axis])
            bins = [(i * n // m, -(-(i + 1) * n // m)) for i in range(m or 0)]
            parts = [x.narrow(axis, a, b - a).amax(axis, keepdim=True) for a, b in bins]
            x = torch.cat(parts, axis) if parts else x
        return x

    return pool


def _average(axes: int) -> Callable[..., Any]:
    def pool(
        x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
        ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        """A divisor of its own is a factor behind the pool that divides by the window."""
        from torch.nn import functional

        if not divisor_override or ceil_mode:
            return NotImplemented
        window = kernel_size if isinstance(kernel_size, Sequence) else (kernel_size,) * axes
        window = tuple(window) * (axes // len(window))
        mean = (functional.avg_pool2d, functional.avg_pool3d)[axes - 2]
        return mean(x, window, stride or window, padding) * (prod(window) / divisor_override)

    return pool


def _distances(x: Tensor, y: Tensor, p: float = 2.0, compute_mode: str = "") -> Any:
    """Between each of x and each of y."""
    import torch

    return torch.linalg.vector_norm(x[..., :, None, :] - y[..., None, :, :], p, -1)


def _distance(
    x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """Of each x from its y; TorchScript's exporter adds eps in another place."""
    import torch

    return torch.linalg.vector_norm(x - y + eps, p, -1, keepdim)


def _hypot(x: Tensor, other: Tensor) -> Tensor:
    return (x * x + other * other).sqrt()


def _unfold(x: Tensor, *place: Any, **named: Any) -> Any:
    """TorchScript's exporter counts an axis from the end wrongly."""
    if len(place) != 3 or named:
        return NotImplemented  # of images
    axis, size, step = place
    return x.unfold(axis % x.dim(), size, step)


def _cumprod(x: Tensor, dim: int, dtype: Any = None) -> Any:
    """Products of what came before, in about log2(n) products [1]_.

    References
    ----------
    .. [1] W. D. Hillis and G. L. Steele, Data parallel algorithms, CACM 29 (12), 1986.
    """
    import torch

    if dtype is not None or not x.is_floating_point():
        return NotImplemented
    n, step = int(x.shape[dim]), 1
    while step < n:
        ones = torch.ones_like(x.narrow(dim, 0, step))
        x = x * torch.cat([ones, x.narrow(dim, 0, n - step)], dim)
        step *= 2
    return x


def _prod(x: Tensor, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if not isinstance(dim, int) or not int(x.shape[dim]):
        return NotImplemented
    made = _cumprod(x, dim, dtype)
    if made is NotImplemented:
        return made
    last = made.narrow(dim, int(x.shape[dim]) - 1, 1)
    return last if keepdim else last.squeeze(dim)


def _take_prefixes(x: Tensor, dim: int, fill: float) -> Tensor:
    """Return the numbers up to each place of an axis, and fill behind it, in a last axis."""
    import torch

    moved = x.movedim(dim, -1)
    n = int(moved.shape[-1])
    upto = torch.ones(n, n, dtype=torch.bool, device=x.device).tril()
    return torch.where(upto, moved.unsqueeze(-2), torch.full((), fill, dtype=x.dtype))


def _make_running(extreme: str) -> Callable[..., Any]:
    def running(x: Tensor, dim: int) -> Any:
        """The maximum, or the minimum, of what came before, and where it stood."""
        if not x.is_floating_point():
            return NotImplemented
        fill = float("-inf") if extreme == "max" else float("inf")
        found = getattr(_take_prefixes(x, dim, fill), extreme)(-1)
        return Chosen(*(t.movedim(-1, dim) for t in found))

    return running


def _make_rest(towards_zero: bool) -> Callable[..., Any]:
    def rest(x: Any, other: Any) -> Any:
        """What division leaves: x - y floor(x / y), or with the quotient cut towards zero."""
        import torch

        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            return NotImplemented
        q = x / other
        whole = q.sign() * q.abs().floor() if towards_zero else q.floor()
        return x - other * whole

    return rest


def _stack_along(axis: int) -> Callable[..., Any]:
    def stack(tensors: Sequence[Tensor]) -> Any:
        """The exporters write sequences for this, even where every tensor has the axis."""
        import torch

        deep = all(t.dim() > max(axis, 1) for t in tensors)
        return torch.cat(list(tensors), axis) if deep else NotImplemented

    return stack


def _lstm(x: Any, hx: Any, *given: Any, **named: Any) -> Any:
    """An LSTM with projections, h = W (o tanh c), step by step (Sak et al. 2014)."""
    import torch

    if (
        named
        or len(given) != 7
        or not isinstance(hx, tuple | list)
        or not isinstance(x, torch.Tensor)
    ):
        return NotImplemented
    weights, biased, layers, _, _, both, first = given
    ways, each = 1 + both, len(weights) // (layers * (1 + both))
    if each == 2 + 2 * biased:
        return NotImplemented  # without projections
    x = x.transpose(0, 1) if first else x
    ends = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            place = layer * ways + way
            own = weights[place * each : (place + 1) * each]
            steps, end = _run_cell(x, (hx[0][place], hx[1][place]), own, backwards=way == 1)
            outputs.append(steps)
            ends.append(end)
        x = torch.cat(outputs, -1) if both else outputs[0]
    h, c = (torch.stack(states) for states in zip(*ends, strict=True))
    return (x.transpose(0, 1) if first else x), h, c


def _run_cell(
    x: Tensor, state: tuple[Tensor, Tensor], weights: Sequence[Tensor], backwards: bool
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return what one direction gives at each step, and its last state."""
    import torch

    inward, around, *biases, project = weights
    (h, c), given = state, []
    order = range(int(x.shape[0]))
    for t in reversed(order) if backwards else order:
        gates = x[t] @ inward.t() + h @ around.t() + sum(biases)
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = (o.sigmoid() * c.tanh()) @ project.t()
        given.append(h)
    return torch.stack(given[::-1] if backwards else given), (h, c)


# By the name of torch's function, method and functional of it; each returns NotImplemented where
# torch's own will do.
SPELLINGS: dict[str, Callable[..., Any]] = {
    "median": _median, "kthvalue": _kthvalue, "hypot": _hypot,
    "cdist": _distances, "pairwise_distance": _distance,
    "adaptive_max_pool1d": _adaptive_max(1), "adaptive_max_pool2d": _adaptive_max(2),
    "adaptive_max_pool3d": _adaptive_max(3), "avg_pool2d": _average(2), "avg_pool3d": _average(3),
    "cumprod": _cumprod, "prod": _prod,
    "cummax": _make_running("max"), "cummin": _make_running("min"),
    "fmod": _make_rest(towards_zero=True), "remainder": _make_rest(towards_zero=False),
    "unfold": _unfold, "hstack": _stack_along(1), "vstack": _stack_along(0), "lstm": _lstm,
}  # fmt: skip
