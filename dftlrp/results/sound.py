"""Relevance as sound: the parts of a recording that supported or opposed an output.

With x the signal, R its relevance per sample, Y = STFT(x), R_tf the relevance of the cells of Y
and M the mask made of it, the kinds are

==============  ===========================================================================
original        x
heatmap         x max(R, 0): every sample times its positive relevance
rectified       max(x, 0) R: the formula printed on the demo page of AudioMNIST
                (arXiv 1807.03418)
negative        x max(-R, 0): every sample times its negative relevance
resynthesis     STFT^-1(M Y): what supported the output, through a soft mask of R_tf that keeps
                the phase (`dftlrp.results.masking`)
complement      STFT^-1((1 - M) Y), the rest: what did not matter, or opposed the output.  The two
                add up to the original
==============  ===========================================================================

A product with R modulates the signal sample by sample, which sounds like clicks; the mask keeps
only the parts that supported the output and sounds like the recording.

A recording of several channels gives sounds of as many channels, each from its own signal and
relevance; gains and the mask's scale are common to all, so that they compare.

This is done to every sound, and nothing else:

- **Fast enough to be heard.**  A signal of fewer than 3000 samples per second (an ECG has 360, a
  seismometer 100) lies below hearing, and no browser plays it: it is played faster, by the smallest
  power of two that gives at least 8000; `Sound.speed` is that factor.  A rate that is not a whole
  number is rounded to one, as WAV files need it (off by less than a 300th of a semitone).  Hertz
  and seconds below are those of the played sound.
- **No DC, no rumble.**  A zero-phase high-pass, |H(f)|^2 = f^4 / (f^4 + f_c^4) with
  f_c = min(20 Hz, rate / 400); the mean of what remains is zero to round-off.
- **No click at the edges.**  Raised-cosine fades of 5 ms (at least two samples, at most half
  the sound); the first and the last sample are exactly 0.
- **One gain for the kinds that share a unit**, over all explanations given: `original`,
  `resynthesis` and `complement` (unit of x) share one, `heatmap`, `rectified` and `negative` (unit
  of x R) share another.  So loudness compares between kinds and between explanations.  The
  loudest sound of a group peaks at -1 dBFS; a silent group has 0 dB.  The gain does not depend on
  which kinds of a group are asked for.
"""

from __future__ import annotations

import base64
import html
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dftlrp.core.files import replace_file
from dftlrp.core.names import find_name
from dftlrp.core.types import AnyArray, DftlrpError, InputError, NonFiniteError, Real
from dftlrp.results.data import ExplanationData
from dftlrp.results.masking import keep_relevant

Subtype = Literal["PCM_16", "FLOAT"]

KINDS = ("original", "resynthesis", "complement", "heatmap", "rectified", "negative")
GROUPS = (KINDS[:3], KINDS[3:])
PEAK_DB = -1.0
HIGHPASS_HZ = 20.0
FADE_SECONDS = 0.005
SLOW_HZ, HEARD_HZ = 3000, 8000  # signals below the first are played at the second or above
MOST_HZ = 768_000  # browsers play no more
LEAST_HZ = 1e-9  # one sample in thirty years
MOST_CHANNELS = 1024  # of a WAV file, by libsndfile
SILENCE = 1e-12  # of the peak before the high-pass; below lies round-off


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples that are ready to be played.

    Attributes
    ----------
    samples : (N,) or (N, channels) float64
        Full scale = 1; the gain is already applied.
    rate : float
        Samples per second at which it is played: those of the signal times `speed`, rounded.
    gain_db : float
        Gain that was applied, the same for all sounds that share a unit.
    kind : str
        One of `KINDS`.
    speed : int
        How many times faster it is played than it was recorded; 1 for audio.
    """

    samples: Real
    rate: float
    gain_db: float
    kind: str
    speed: int = 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        """Return the samples, so that ``np.asarray(sound)`` works."""
        array = np.asarray(self.samples, dtype=dtype)
        return array.copy() if copy and array is self.samples else array

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        count = "" if self.samples.ndim == 1 else f", {self.samples.shape[1]} channels"
        faster = "" if self.speed == 1 else f", {self.speed} times faster than recorded"
        seconds = len(self) / self.rate
        return f"Sound of kind {self.kind!r}: {seconds:.4g} s at {self.rate:g} Hz{count}{faster}"

    def _repr_html_(self) -> str:
        """Return a player, which a notebook shows."""
        try:
            data = base64.b64encode(self.wav()).decode()
        except DftlrpError as error:
            return f"<p>No player: {html.escape(str(error))}</p>"
        source = f"data:audio/wav;base64,{data}"
        return f'<audio controls title="{html.escape(repr(self))}" src="{source}"></audio>'

    def wav(self, subtype: Subtype = "PCM_16") -> bytes:
        """Return the bytes of a WAV file with the channels of the samples.

        Raises
        ------
        InputError
            If the rate is not a whole number of hertz, there are more channels than a WAV file
            holds, the subtype is unknown, or PCM_16 would clip (a sample beyond full scale).
        NonFiniteError
            If a sample is NaN or infinite (as PCM that would be a full-scale click).
        """
        import soundfile  # type: ignore[import-untyped]

        _check_writable(self, subtype)
        buffer = io.BytesIO()
        soundfile.write(buffer, self.samples, round(self.rate), subtype, format="WAV")
        return buffer.getvalue()

    def save(self, path: str | os.PathLike[str], subtype: Subtype = "PCM_16") -> None:
        """Write a WAV file, whole or not at all; errors as for `wav`."""
        replace_file(path, self.wav(subtype))


def make_sounds(
    explanations: Sequence[ExplanationData], kinds: Sequence[str] = KINDS
) -> list[dict[str, Sound]]:
    """Return the sounds of each explanation, at gains that make them comparable.

    Parameters
    ----------
    explanations : sequence of Explanation
        Those to compare: they share one gain per unit (see the module).
    kinds : sequence of str
        Which of `KINDS`.

    Returns
    -------
    list of dict
        For each explanation, from kind to `Sound`.

    Raises
    ------
    InputError
        If a kind is unknown, or an explanation cannot be heard (see `find_obstacle`).
    NonFiniteError
        If a signal or its relevance holds a NaN or an infinity.
    """
    kinds = [find_name(kind, KINDS, "unknown kind of sound") for kind in kinds]
    made: list[dict[str, Sound]] = [{} for _ in explanations]
    for group in GROUPS:
        if not set(group) & set(kinds):
            continue
        # The whole group, so that the gain is the same whichever kinds are asked for.
        raw = [
            {k: _finish_sound(_apply_formula(e, k), choose_playback(e.rate)[0]) for k in group}
            for e in explanations
        ]
        gain, gain_db = _find_gain([s for one in raw for s in one.values()])
        for sound, one, e in zip(made, raw, explanations, strict=True):
            rate, speed = choose_playback(e.rate)
            sound.update({k: Sound(gain * s.T, rate, gain_db, k, speed) for k, s in one.items()})
    return [{k: one[k] for k in kinds} for one in made]


def choose_playback(rate: float) -> tuple[float, int]:
    """Return the rate at which to play a signal, in whole hertz, and how much faster that is.

    360 Hz are played 32 times faster, at 11 520 Hz; from 3000 Hz on the speed is 1.
    """
    speed = 2 ** math.ceil(math.log2(HEARD_HZ / rate)) if rate < SLOW_HZ else 1
    return float(round(rate * speed)), speed


def find_obstacle(explanation: ExplanationData) -> str:
    """Return why there can be no sound, in a sentence; empty if there can be one."""
    if "time" not in explanation.signal or "time" not in explanation.relevance:
        return "This explanation has no 'time' domain, so there is nothing to listen to."
    if not LEAST_HZ <= explanation.rate <= MOST_HZ:
        return f"No player can play {explanation.rate:g} samples per second."
    if explanation.signal["time"][..., 0].size > MOST_CHANNELS:
        return f"No sound file holds more than {MOST_CHANNELS} channels."
    return ""


def _apply_formula(explanation: ExplanationData, kind: str) -> Real:
    """Return the formula of one kind, (..., N), before filter, fades and gain."""
    x, relevance = _read_samples(explanation)
    if kind == "original":
        return x
    if kind == "heatmap":
        return x * np.maximum(relevance, 0.0)
    if kind == "rectified":
        return np.maximum(x, 0.0) * relevance
    if kind == "negative":
        return x * np.maximum(-relevance, 0.0)
    kept = keep_relevant(explanation, x)
    return kept if kind == "resynthesis" else x - kept


def _read_samples(explanation: ExplanationData) -> tuple[Real, Real]:
    """Return the signal and its relevance over time, (..., N) float64 each."""
    if reason := find_obstacle(explanation):
        raise InputError(reason)
    x = np.asarray(explanation.signal["time"], np.float64)
    relevance = np.asarray(explanation.relevance["time"], np.float64)
    for name, values in (("signal", x), ("time relevance", relevance)):
        if not np.isfinite(values).all():
            first = int(np.argwhere(~np.isfinite(values))[0, -1])
            raise NonFiniteError(f"the {name} is not finite at sample {first}: it cannot be played")
    return x, relevance


def _finish_sound(raw: Real, rate: float) -> Real:
    """Apply high-pass and fades, (..., N): zero mean, zero first and last samples."""
    fade = _make_fade(raw.shape[-1], rate)
    faded = _remove_rumble(raw, rate) * fade
    # The fades may bring back a little DC; take it out in their own shape: the edges stay 0.
    # (The window sums to 0 for one or two samples, to 1 or more for any other length.)
    centred = faded - fade * (faded.sum(axis=-1, keepdims=True) / max(float(fade.sum()), 1.0))
    # A constant leaves nothing but round-off, which the gain must not raise to full scale.
    peaks = (np.max(np.abs(s), axis=-1, initial=0.0, keepdims=True) for s in (centred, raw))
    return np.asarray(np.where(next(peaks) > SILENCE * next(peaks), centred, 0.0))


def _remove_rumble(x: Real, rate: float) -> Real:
    """Apply the zero-phase high-pass f^4 / (f^4 + f_c^4) on the cosine transform, (..., N).

    The transform extends the signal evenly at both ends, so there is no jump that rings, at any
    length; the zeroth coefficient, the mean, becomes exactly 0.
    """
    from scipy import fft

    corner = min(HIGHPASS_HZ, rate / 400)
    count = x.shape[-1]
    frequency = np.arange(count) * (rate / (2 * count))
    gain = frequency**4 / (frequency**4 + corner**4)
    return np.asarray(fft.idct(fft.dct(x) * gain), np.float64)


def _make_fade(count: int, rate: float) -> Real:
    """Return a window (N,) that rises from 0 to 1 and falls back to 0 within 5 ms at either end."""
    length = max(1, min(max(2, round(FADE_SECONDS * rate)), count // 2))
    window = np.ones(count)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)
    window[:length] = ramp
    window[count - length :] = ramp[::-1]
    return window


def _find_gain(group: Sequence[Real]) -> tuple[float, float]:
    """Return the gain, as a factor and in dB, that puts the loudest sound of a group at -1 dBFS."""
    peak = max((float(np.max(np.abs(s), initial=0.0)) for s in group), default=0.0)
    if peak < np.finfo(np.float64).tiny:
        return 1.0, 0.0
    gain = 10 ** (PEAK_DB / 20) / peak
    return gain, 20 * float(np.log10(gain))


def _check_writable(sound: Sound, subtype: str) -> None:
    """Raise an error if the file would hold something else; see `Sound.wav`."""
    if subtype not in ("PCM_16", "FLOAT"):
        raise InputError(f"unknown WAV subtype {subtype!r}; choose PCM_16 or FLOAT")
    if not np.isfinite(sound.samples).all():
        first = int(np.argwhere(~np.isfinite(sound.samples))[0, 0])
        raise NonFiniteError(f"sound {sound.kind!r} is not finite at sample {first}; not written")
    if not 1 <= sound.rate <= MOST_HZ or sound.rate != round(sound.rate):
        raise InputError(f"a WAV file needs a whole number of hertz, not {sound.rate:g}; resample")
    if sound.samples.ndim > 1 and sound.samples.shape[1] > MOST_CHANNELS:
        raise InputError(f"a WAV file holds at most {MOST_CHANNELS} channels; save them one by one")
    if subtype == "PCM_16" and np.max(np.abs(sound.samples), initial=0.0) > 1:
        raise InputError(f"sound {sound.kind!r} exceeds full scale: PCM_16 would clip, use FLOAT")
