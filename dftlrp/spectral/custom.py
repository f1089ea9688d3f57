"""A user's own pair of transforms as a domain, tested when it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.spectral.checks import as_coefficients, as_signal, as_whole
from dftlrp.spectral.domain import DomainDefaults, inner

Map = Callable[[AnyArray], Any]
TOLERANCES = {"d": 1e-8, "f": 1e-3}  # relative error of the laws, in double and single precision


class Custom(DomainDefaults):
    """Any analysis T and synthesis S, with the adjoint of S, as a domain.

    Adjoints belong to <y, z> = Re sum y conj(z).  The adjoint of a complex matrix is its conjugate
    transpose; that of a one-sided transform counts the weight 2 of most bins.

    Parameters
    ----------
    analysis : callable
        T: one real signal (n,) to real or complex coefficients of any one shape.
    synthesis : callable
        S: coefficients to the real signal (n,).
    synthesis_adjoint : callable
        S^T: (n,) to coefficients.
    n : int
        Length of the signal, in samples.
    analysis_adjoint : callable, optional
        T^T: coefficients to (n,); needed only for models that read the coefficients.
    lossy : bool
        Allow S T x to differ from x; the relevance of the difference is the rest.
    tolerance : float, optional
        Largest relative error of the laws below.  The default is 1e-8, or 1e-3 if the analysis
        returns single precision.

    Raises
    ------
    InputError
        If a map is not a function, fails, or returns another shape or kind than needed; or if one
        of the laws S T x = x (unless lossy), <S y, x> = <y, S^T x> and <T x, y> = <x, T^T y> fails
        on random vectors by more than the tolerance.

    See Also
    --------
    Domain : What it then is.
    relevance_in, relevance_from : Take it.

    Notes
    -----
    Every map is called with one signal at a time, in float64 (or complex128).

    Examples
    --------
    Of functions, here a scaling:

    >>> scale = np.linspace(1, 2, 8)
    >>> up, down = (lambda x: x * scale), (lambda y: y / scale)
    >>> pair = dftlrp.spectral.Custom(up, down, down, 8)
    >>> pair.shape, pair.is_complex
    ((8,), False)
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
        self.n = as_whole(n, "n")
        self._maps = {"analysis": analysis, "synthesis": synthesis}
        self._maps["synthesis_adjoint"] = synthesis_adjoint
        if analysis_adjoint is not None:
            self._maps["analysis_adjoint"] = analysis_adjoint
        for name, function in self._maps.items():
            if not callable(function):
                raise InputError(f"{name} is {function!r}, but must be a function")
        probe = self._call("analysis", np.zeros(self.n))
        self.shape, self.is_complex = probe.shape, np.iscomplexobj(probe)
        if probe.ndim == 0 or probe.size == 0:
            raise InputError(f"analysis returns shape {probe.shape}; it needs at least one axis")
        if not (tolerance is None or (isinstance(tolerance, float) and 0 < tolerance < 1)):
            raise InputError(f"tolerance is {tolerance!r}, but must be between 0 and 1")
        self._tolerance = tolerance or _choose_tolerance(probe.dtype)
        self._check_laws(lossy)

    @classmethod
    def from_operators(cls, analysis: Any, synthesis: Any, *, lossy: bool = False) -> Custom:
        """Return a domain of two linear operators (or matrices) T, (K, n), and S, (n, K).

        Parameters
        ----------
        analysis, synthesis : scipy.sparse.linalg.LinearOperator, sparse matrix or array
            Real or complex; the signal is Re(S y).  The adjoint (`rmatvec`) of `synthesis` is
            needed, that of `analysis` only for models that read the coefficients.
        lossy : bool
            As in `Custom`.

        Returns
        -------
        Custom
            Whose laws were checked.

        Raises
        ------
        InputError
            As `Custom`, with a tolerance according to the operators' dtype; or if the arguments are
            not operators, or their shapes do not fit.

        Examples
        --------
        >>> matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
        >>> pair = dftlrp.spectral.Custom.from_operators(matrix, matrix.T)
        >>> pair.shape
        (8,)
        """
        from scipy.sparse.linalg import aslinearoperator

        try:
            T, S = aslinearoperator(analysis), aslinearoperator(synthesis)
        except (TypeError, ValueError) as error:
            raise InputError(f"analysis and synthesis must be linear operators: {error}") from None
        K, n = T.shape
        if S.shape != (n, K):
            raise InputError(
                f"analysis is {K} x {n}, so synthesis must be {n} x {K}, not {S.shape}"
            )
        if not _has_adjoint(S):
            raise InputError("synthesis_adjoint is missing: synthesis needs rmatvec")
        return cls(
            T.matvec,
            lambda y: S.matvec(y).real,
            S.rmatvec,
            n,
            (lambda y: T.rmatvec(y).real) if _has_adjoint(T) else None,
            lossy=lossy,
            tolerance=_choose_tolerance(T.dtype, S.dtype),
        )

    def analysis(self, signal: ArrayLike) -> AnyArray:
        """Return T x, real (..., n) to (..., *shape)."""
        return self._apply("analysis", self._signal(signal), 1, self.shape)

    def synthesis(self, coefficients: ArrayLike) -> Real:
        """Return S y, (..., *shape) to real (..., n)."""
        y = self._coefficients(coefficients)
        return self._apply("synthesis", y, len(self.shape), (self.n,))

    def synthesis_adjoint(self, signal: ArrayLike) -> AnyArray:
        """Return S^T m, real (..., n) to (..., *shape)."""
        return self._apply("synthesis_adjoint", self._signal(signal), 1, self.shape)

    def analysis_adjoint(self, coefficients: ArrayLike) -> Real:
        """Return T^T g, (..., *shape) to real (..., n)."""
        if "analysis_adjoint" not in self._maps:
            raise InputError(
                "relevance from these coefficients to time needs analysis_adjoint; pass it too"
            )
        g = self._coefficients(coefficients)
        return self._apply("analysis_adjoint", g, len(self.shape), (self.n,))

    def _apply(self, name: str, v: AnyArray, axes: int, shape: tuple[int, ...]) -> AnyArray:
        """Call a map on each element of the batch and stack the results."""
        batch = v.shape[: v.ndim - axes]
        rows = v.reshape(-1, *v.shape[v.ndim - axes :])
        out = np.stack([self._call_checked(name, row, shape) for row in rows])
        return out.reshape(*batch, *shape)

    def _call_checked(self, name: str, v: AnyArray, shape: tuple[int, ...]) -> AnyArray:
        out = self._call(name, v)
        if out.shape != shape:
            raise InputError(f"{name} returns shape {out.shape}, but {shape} is needed")
        must_be_real = not self.is_complex or name in {"synthesis", "analysis_adjoint"}
        if out.dtype.kind not in ("iuf" if must_be_real else "iufc"):
            need = "real numbers" if must_be_real else "numbers"
            raise InputError(f"{name} returns {out.dtype}, but {need} are needed")
        return out

    def _call(self, name: str, v: AnyArray) -> AnyArray:
        try:
            return np.asarray(self._maps[name](v))
        except Exception as error:  # whatever a user's function raises
            reason = " ".join(str(error).split())
            raise InputError(f"{name} fails on shape {v.shape} (n = {self.n}): {reason}") from error

    def _signal(self, signal: ArrayLike) -> Real:
        return as_signal(signal, self.n).astype(np.float64, copy=False)

    def _coefficients(self, coefficients: ArrayLike) -> AnyArray:
        y = as_coefficients(coefficients, self.shape, self.is_complex)
        return y.astype(np.complex128 if self.is_complex else np.float64, copy=False)

    def _check_laws(self, lossy: bool) -> None:
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
        self._check_adjoint("synthesis", (x_y, x), (y, self.synthesis_adjoint(x)))
        if "analysis_adjoint" in self._maps:
            self._check_adjoint("analysis", (y_x, y), (x, self.analysis_adjoint(y)))

    def _check_adjoint(
        self, name: str, image: tuple[AnyArray, AnyArray], source: tuple[AnyArray, AnyArray]
    ) -> None:
        """Raise unless <A v, w> = <v, A^T w>, where image is (A v, w) and source (v, A^T w)."""
        left, right = (inner(a, b, a.ndim) for a, b in (image, source))
        sizes = [np.linalg.norm(a) * np.linalg.norm(b) for a, b in (image, source)]
        error = abs(left - right) / max(*map(float, sizes), 1e-300)
        if not error <= self._tolerance:
            raise InputError(
                f"{name}_adjoint is not the adjoint of {name}: <{name}(v), w> = {left:.6g}, but "
                f"<v, {name}_adjoint(w)> = {right:.6g}, off by {error:.2g} of the norms"
            )


def _choose_tolerance(*dtypes: Any) -> float:
    """Return the tolerance of the least precise dtype."""
    single = any(np.dtype(d).char in "efF" for d in dtypes)
    return TOLERANCES["f" if single else "d"]


def _has_adjoint(operator: Any) -> bool:
    try:
        operator.rmatvec(np.zeros(operator.shape[0]))
    except NotImplementedError:
        return False
    return True
