"""A recording without some of its units: what a score is asked of to check an explanation.

With the coefficients y = T x of a domain, those r of what takes their place, and a mask M of cells
that are replaced, the recording becomes S (y + M (r - y)): exactly the change that relevance in
this domain speaks of, since the explained model reads S y.  In time T and S do nothing.

==========  ======================================================================================
zero        r = 0
mean        r = T of the mean over all samples of the channel
noise       r is white noise in the domain with the energy that each unit has
stationary  r = T n; n is noise with the spectrum of the recording, its phases drawn anew
==========  ======================================================================================

An array in the shape of the recording is taken as it is: the reference of an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.core.names import suggest
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.results.units import Units
from dftlrp.spectral import Dft, Stft
from dftlrp.spectral.domain import Domain

REPLACEMENTS = ("zero", "mean", "noise", "stationary")
Replacement = str | AnyArray


@dataclass(frozen=True, eq=False)
class Deletion:
    """A recording in a domain, and what takes the place of its units.

    Attributes
    ----------
    values, other : array (..., *units.index.shape)
        Coefficients of the recording, and those that replace them.
    units : Units
    domain : Domain or None
        None: the values are what the model reads.
    """

    values: AnyArray
    other: AnyArray
    units: Units
    domain: Domain | None

    def remove(self, gone: AnyArray) -> Real:
        """Return recordings without some units.

        Parameters
        ----------
        gone : array of bool (B, units.count)

        Returns
        -------
        array (B, ...)
            In the shape of the recording.
        """
        masks = self.units.spread(gone)
        spare = (1,) * (self.values.ndim - self.units.index.ndim)
        masks = masks.reshape(len(gone), *spare, *self.units.index.shape)
        changed = np.where(masks, self.other, self.values)
        return changed if self.domain is None else self.domain.synthesis(changed)


def open_domain(name: str, samples: Real, stft: Mapping[str, Any]) -> Domain | None:
    """Return the transform pair of a domain by name; None where cells are what the model reads.

    Raises
    ------
    InputError
        The domain has no exact inverse.
    """
    if name in {"time", "input"}:
        return None
    if name == "frequency":
        return Dft(samples.shape[-1])
    if name == "time-frequency":
        return Stft(samples.shape[-1], **stft)
    raise InputError(
        f"nothing can be deleted in domain {name!r}: choose time, frequency, time-frequency or "
        "input"
    )


def prepare_deletion(
    samples: Real,
    domain: Domain | None,
    units: Units,
    replace: Replacement = "zero",
    seed: int = 0,
) -> Deletion:
    """Return a recording whose units can be replaced.

    Parameters
    ----------
    samples : array
        The recording (N,) or (channels, N); or what a model reads, of any shape.
    domain : Domain or None
        In which domain; None: that of the samples themselves.
    units : Units
        Of one channel in that domain.
    replace : str or array
        One of `REPLACEMENTS`, or an array in the shape of the samples.
    seed : int
        Of what is drawn.

    Raises
    ------
    InputError
        An unknown replacement, or an array of another shape.
    """
    rng = np.random.default_rng(seed)
    values = samples if domain is None else domain.analysis(samples)
    if isinstance(replace, str) and replace == "noise":
        return Deletion(values, _draw_equal_energy(values, units, rng), units, domain)
    other = _make_replacement(samples, replace, rng)
    return Deletion(values, other if domain is None else domain.analysis(other), units, domain)


def _make_replacement(samples: Real, replace: Replacement, rng: np.random.Generator) -> Real:
    if not isinstance(replace, str):
        other = np.asarray(replace, samples.dtype)
        if other.shape != samples.shape:
            raise InputError(
                f"the replacement has shape {other.shape}, the recording {samples.shape}"
            )
        return other
    if replace == "zero":
        return np.zeros_like(samples)
    if replace == "mean":
        mean = samples.mean(axis=-1, keepdims=True)
        return np.broadcast_to(mean, samples.shape).copy()
    if replace == "stationary":
        return draw_stationary(samples, rng)
    meant = suggest(replace, REPLACEMENTS)
    raise InputError(f"replacement {replace!r}: {meant}choose one of {', '.join(REPLACEMENTS)}")


def draw_stationary(samples: Real, rng: np.random.Generator) -> Real:
    """Return noise with the magnitudes of the samples' spectrum and phases drawn anew.

    All channels get the same change of phase, so that what they have in common stays.
    """
    spectrum = np.fft.rfft(samples)
    turns = np.zeros(spectrum.shape[-1])  # DC and Nyquist are real
    last = (samples.shape[-1] + 1) // 2
    turns[1:last] = rng.uniform(0, 2 * np.pi, last - 1)
    return np.fft.irfft(spectrum * np.exp(1j * turns), samples.shape[-1])


def _draw_equal_energy(values: AnyArray, units: Units, rng: np.random.Generator) -> AnyArray:
    """Return white noise in the shape of the coefficients, in each unit as strong as they are."""
    drawn = rng.standard_normal(values.shape)
    if np.iscomplexobj(values):
        drawn = drawn + 1j * rng.standard_normal(values.shape)
    had, has = (units.pool(np.abs(a) ** 2) for a in (values, drawn))
    return drawn * units.spread(np.sqrt(had / np.maximum(has, 1e-300)))
