"""A user's own pair of transforms as a domain, admitted only if the laws hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral import checks
from dftlrp.spectral.domains import coefficient_rest, inner, share, signal_rest

Map = Callable[[AnyArray], Any]
TOLERANCE = {"d": 1e-8, "f": 1e-3}  # relative error of the laws, in double and single precision


class Custom:
    """Any analysis T and synthesis S, with the adjoint of S, as a domain.

    Adjoints belong to <y, z> = Re sum y conj(z).  (Of a complex matrix that is the conjugate
    transpose; of a one-sided transform it counts the weight 2 of most bins.)

    Parameters
    ----------
    analysis : callable
        T: one real signal (n,) to real or complex coefficients of any one shape.
    synthesis : callable
        S: coefficients to the signal (n,), real.
    synthesis_adjoint : callable
        S^T: (n,) to coefficients.
    n : int
        Length of the signal, in samples.
    analysis_adjoint : callable, optional
        T^T: coefficients to (n,); only needed for models that read the coefficients.
    lossy : bool
        Allow S T x to differ from x; what it misses is the rest.
    tolerance : float, optional
        Relative error that the laws may show; None: 1e-8, or 1e-3 where a map returns single
        precision.

    Raises
    ------
    InputError
        A law fails on random vectors by more than the tolerance: S T x = x (unless lossy),
        <S y, x> = <y, S^T x>, <T x, y> = <x, T^T y>; or a map is no function, fails, or
        returns another shape or kind.

    Notes
    -----
    Every map is called with one signal at a time, float64 (or complex128).
    """

    def __init__(
        self,
        analysis: Map,
        synthesis: Map,
        synthesis_adjoint: Map,
        n: int,
        analysis_adjoint: Map | None = None,
        *,
        lossy: bool = False,
        tolerance: float | None = None,
    ) -> None:
        self.n = checks.whole(n, "n")
        self._maps = {"analysis": analysis, "synthesis": synthesis}
        self._maps["synthesis_adjoint"] = synthesis_adjoint
        if analysis_adjoint is not None:
            self._maps["analysis_adjoint"] = analysis_adjoint
        for name, function in self._maps.items():
            if not callable(function):
                raise InputError(f"{name} is {function!r}, but must be a function")
        probe = self._called("analysis", np.zeros(self.n))
        self.shape, self.is_complex = probe.shape, np.iscomplexobj(probe)
        if probe.ndim == 0 or probe.size == 0:
            raise InputError(f"analysis returns shape {probe.shape}; it needs at least one axis")
        if not (tolerance is None or (isinstance(tolerance, float) and 0 < tolerance < 1)):
            raise InputError(f"tolerance is {tolerance!r}, but must be between 0 and 1")
        self._tolerance = tolerance or _tolerance(probe.dtype)
        self._admit(lossy)

    @classmethod
    def from_operators(cls, analysis: Any, synthesis: Any, *, lossy: bool = False) -> Custom:
        """Make a domain of two linear operators (or matrices), A (K, n) and S (n, K).

        Parameters
        ----------
        analysis, synthesis : scipy.sparse.linalg.LinearOperator, sparse matrix or array
            Real or complex; the signal is Re(S y).  Of `synthesis` the adjoint (`rmatvec`) is
            needed, of `analysis` only for models that read the coefficients.
        lossy : bool
            As in `Custom`.

        Raises
        ------
        InputError
            As `Custom` (the tolerance is by the operators' dtype); not operators, or their shapes
            do not fit.
        """
        from scipy.sparse.linalg import aslinearoperator

        try:
            A, S = aslinearoperator(analysis), aslinearoperator(synthesis)
        except (TypeError, ValueError) as error:
            raise InputError(f"analysis and synthesis must be linear operators: {error}") from None
        K, n = A.shape
        if S.shape != (n, K):
            raise InputError(
                f"analysis is {K} x {n}, so synthesis must be {n} x {K}, not {S.shape}"
            )
        if not _has_adjoint(S):
            raise InputError("synthesis_adjoint is missing: synthesis needs rmatvec")
        return cls(
            A.matvec,
            lambda y: S.matvec(y).real,
            S.rmatvec,
            n,
            (lambda y: A.rmatvec(y).real) if _has_adjoint(A) else None,
            lossy=lossy,
            tolerance=_tolerance(A.dtype, S.dtype),
        )

    def analysis(self, signal: ArrayLike) -> AnyArray:
        """T x, real (..., n) to (..., *shape)."""
        return self._apply("analysis", self._signal(signal), 1, self.shape)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """S y, (..., *shape) to real (..., n)."""
        y = self._coefficients(coefficients)
        return self._apply("synthesis", y, len(self.shape), (self.n,))

    def synthesis_adjoint(self, signal: ArrayLike) -> AnyArray:
        """S^T m, real (..., n) to (..., *shape)."""
        return self._apply("synthesis_adjoint", self._signal(signal), 1, self.shape)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """T^T g, (..., *shape) to real (..., n)."""
        if "analysis_adjoint" not in self._maps:
            raise InputError(
                "relevance from these coefficients to time needs analysis_adjoint; pass it too"
            )
        g = self._coefficients(coefficients)
        return self._apply("analysis_adjoint", g, len(self.shape), (self.n,))

    def share(self, signal: Real, multiplier: Real) -> tuple[AnyArray, AnyArray]:
        """T x and conj(T x) S^T m."""
        return share(self, signal, multiplier)

    def signal_rest(self, signal: Real, multiplier: Real) -> Real:
        """<x - S T x, m>: round-off, or what a lossy pair leaves out."""
        return signal_rest(self, signal, multiplier)

    def coefficient_rest(self, coefficients: AnyArray, multiplier: AnyArray) -> Real:
        """<y - T S y, g>."""
        return coefficient_rest(self, coefficients, multiplier)

    def _apply(self, name: str, v: AnyArray, axes: int, shape: tuple[int, ...]) -> AnyArray:
        """Call a map on each element of the batch, and put the results together."""
        batch = v.shape[: v.ndim - axes]
        rows = v.reshape(-1, *v.shape[v.ndim - axes :])
        out = np.stack([self._result(name, row, shape) for row in rows])
        return out.reshape(*batch, *shape)

    def _result(self, name: str, v: AnyArray, shape: tuple[int, ...]) -> AnyArray:
        out = self._called(name, v)
        if out.shape != shape:
            raise InputError(f"{name} returns shape {out.shape}, but {shape} is needed")
        must_be_real = not self.is_complex or name in {"synthesis", "analysis_adjoint"}
        if out.dtype.kind not in ("iuf" if must_be_real else "iufc"):
            need = "real numbers" if must_be_real else "numbers"
            raise InputError(f"{name} returns {out.dtype}, but {need} are needed")
        return out

    def _called(self, name: str, v: AnyArray) -> AnyArray:
        try:
            return np.asarray(self._maps[name](v))
        except Exception as error:  # whatever a user's function raises
            reason = " ".join(str(error).split())
            raise InputError(f"{name} fails on shape {v.shape} (n = {self.n}): {reason}") from error

    def _signal(self, signal: ArrayLike) -> Real:
        x = checks.real(signal, "signal").astype(np.float64, copy=False)
        checks.length(x, -1, self.n, "signal")
        return x

    def _coefficients(self, coefficients: ArrayLike) -> AnyArray:
        read = checks.complexes if self.is_complex else checks.real
        y = read(coefficients, "coefficients")
        checks.shape(y, self.shape, "coefficients")
        return y.astype(np.complex128 if self.is_complex else np.float64, copy=False)

    def _admit(self, lossy: bool) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=self.n), rng.normal(size=self.shape)
        y = y + 1j * rng.normal(size=self.shape) if self.is_complex else y
        y_x, x_y = self.analysis(x), self.synthesis(y)
        if not lossy:
            error = np.linalg.norm(self.synthesis(y_x) - x) / np.linalg.norm(x)
            if not error <= self._tolerance:
                raise InputError(
                    f"synthesis(analysis(x)) is not x: it differs by {error:.2g} of its norm; pass "
                    "lossy=True if something is meant to be lost"
                )
        self._dot_test("synthesis", x_y, x, y, self.synthesis_adjoint(x))
        if "analysis_adjoint" in self._maps:
            self._dot_test("analysis", y_x, y, x, self.analysis_adjoint(y))

    def _dot_test(self, name: str, Av: AnyArray, w: AnyArray, v: AnyArray, Aw: AnyArray) -> None:
        """<A v, w> = <v, A^T w>."""
        left, right = inner(Av, w, Av.ndim), inner(v, Aw, v.ndim)
        sizes = [float(np.linalg.norm(u)) for u in (Av, w, v, Aw)]
        error = abs(left - right) / max(sizes[0] * sizes[1], sizes[2] * sizes[3], 1e-300)
        if not error <= self._tolerance:
            raise InputError(
                f"{name}_adjoint is not the adjoint of {name}: <{name}(v), w> = {left:.6g}, but "
                f"<v, {name}_adjoint(w)> = {right:.6g}, off by {error:.2g} of the norms"
            )


def _tolerance(*dtypes: Any) -> float:
    """By the least precise dtype."""
    single = any(np.dtype(d).char in "efF" for d in dtypes)
    return TOLERANCE["f" if single else "d"]


def _has_adjoint(A: Any) -> bool:
    try:
        A.rmatvec(np.zeros(A.shape[0]))
    except NotImplementedError:
        return False
    return True
