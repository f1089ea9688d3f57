"""Localisation: whether relevance lies where the cause is known to lie.

Each measure takes relevance and a mask of the truth, of one shape, and says what part of the
relevance counts: |R| (``"absolute"``, as Quantus has it by default), max(R, 0) (``"positive"``) or
R as it is (``"signed"``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, InputError, Real

KINDS_OF_RELEVANCE: dict[str, Callable[[Real], Real]] = {
    "absolute": np.abs,
    "positive": lambda R: np.maximum(R, 0),
    "signed": lambda R: R,
}


def relevance_rank_accuracy(relevance: Real, truth: AnyArray, kind: str = "absolute") -> float:
    """Return the share of the K most relevant cells that lie in the truth, which holds K cells.

    Parameters
    ----------
    relevance : array
        Of any shape.
    truth : array of bool, same shape
        Where the cause is known to lie.
    kind : {"absolute", "positive", "signed"}
        What of the relevance counts: |R|, max(R, 0) or R.

    Returns
    -------
    float
        From 0 to 1.  Cells of equal relevance at the edge of the K count by their share.

    Raises
    ------
    InputError
        Shapes differ, the truth is empty, the relevance is not finite, or the kind is unknown.

    See Also
    --------
    relevance_mass_accuracy : The share of the relevance itself.

    Notes
    -----
    Arras, Osman, Samek (2022), "CLEVR-XAI", equation 2; in Quantus ``RelevanceRankAccuracy``.

    Examples
    --------
    >>> R, truth = np.array([4.0, 3.0, 1.0, 0.0]), np.array([1, 0, 1, 0])
    >>> dftlrp.metrics.relevance_rank_accuracy(R, truth)
    0.5
    """
    R, mask = _read_both(relevance, truth, kind)
    count = int(mask.sum())
    edge = np.partition(R, len(R) - count)[len(R) - count]
    above, at = np.greater(R, edge), np.equal(R, edge)
    left = count - int(above.sum())
    return float((mask[above].sum() + left * mask[at].mean()) / count)


def relevance_mass_accuracy(relevance: Real, truth: AnyArray, kind: str = "absolute") -> float:
    """Return the share of the relevance that lies in the truth; NaN where there is none.

    Parameters
    ----------
    relevance : array
        Of any shape.
    truth : array of bool, same shape
        Where the cause is known to lie.
    kind : {"absolute", "positive", "signed"}
        What of the relevance counts: |R|, max(R, 0) or R.

    Returns
    -------
    float
        From 0 to 1, but for ``"signed"``.

    Raises
    ------
    InputError
        Shapes differ, the truth is empty, the relevance is not finite, or the kind is unknown.

    See Also
    --------
    relevance_rank_accuracy : The share of the most relevant cells.

    Notes
    -----
    Arras, Osman, Samek (2022), "CLEVR-XAI", equation 1; in Quantus ``RelevanceMassAccuracy``.

    Examples
    --------
    >>> R, truth = np.array([4.0, 3.0, 1.0, 0.0]), np.array([1, 0, 1, 0])
    >>> dftlrp.metrics.relevance_mass_accuracy(R, truth)
    0.625
    """
    R, mask = _read_both(relevance, truth, kind)
    total = float(R.sum())
    return float(R[mask].sum()) / total if total else float("nan")


def pointing_game(relevance: Real, truth: AnyArray, kind: str = "absolute") -> float:
    """Return 1 if the most relevant cell lies in the truth, else 0; of several, their share.

    Parameters
    ----------
    relevance : array
        Of any shape.
    truth : array of bool, same shape
        Where the cause is known to lie.
    kind : {"absolute", "positive", "signed"}
        What of the relevance counts: |R|, max(R, 0) or R.

    Returns
    -------
    float
        From 0 to 1; the mean over recordings is the measure.

    Raises
    ------
    InputError
        Shapes differ, the truth is empty, the relevance is not finite, or the kind is unknown.

    See Also
    --------
    relevance_rank_accuracy : Of as many cells as the truth has.

    Notes
    -----
    Zhang et al. (2018), "Top-down neural attention by excitation backprop"; in Quantus
    ``PointingGame``.

    Examples
    --------
    >>> R, truth = np.array([4.0, 3.0, 1.0, 0.0]), np.array([1, 0, 1, 0])
    >>> dftlrp.metrics.pointing_game(R, truth)
    1.0
    """
    R, mask = _read_both(relevance, truth, kind)
    return float(mask[R.max() == R].mean())


def _read_both(relevance: Real, truth: AnyArray, kind: str) -> tuple[Real, AnyArray]:
    kind = find_name(kind, KINDS_OF_RELEVANCE, "kind of relevance")
    R, mask = np.asarray(relevance, np.float64), np.asarray(truth).astype(bool)
    if R.shape != mask.shape:
        raise InputError(f"the truth has shape {mask.shape}, the relevance {R.shape}")
    if not mask.any():
        raise InputError("the truth is empty: nothing can lie in it")
    if not np.isfinite(R).all():
        raise InputError("the relevance is not finite: it lies nowhere")
    return KINDS_OF_RELEVANCE[kind](R).reshape(-1), mask.reshape(-1)
