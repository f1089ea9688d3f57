"""`check_frontend`: which setting of a declared front end is not what computed the features.

With u the features that were given and c those of a front end, over the frames that both have,

    error = |u - c| / |u - mean(u)|        (Euclidean norms)

A front end *agrees* where its error is at most 1e-4, or where none of the alternatives is ten times
better.  Otherwise single settings are changed to every usual value, then pairs of settings, then
mean and std are fitted to what is left; a change *fits* if its error is at most 1e-3, ten times
less than without it.  Recordings that have to be resampled differ by the filter that does it: there
both limits are 0.05, and three times less is enough.  Of what fits, the fewest changes with the
least error are named.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dftlrp.attribution.frontend_result import FrontEndCheck, tell_change
from dftlrp.attribution.frontend_search import (
    Bench,
    Change,
    apply_changes,
    invert_log,
    list_changes,
)
from dftlrp.attribution.recording import Recording, from_array, read_recording
from dftlrp.core.files import regular
from dftlrp.core.progress import steps
from dftlrp.core.types import AnyArray, InputError, Real
from dftlrp.engine.model import as_model, attach_front_end
from dftlrp.graph.frontend import FrontEnd

AGREES, FITS, BETTER = 1e-4, 1e-3, 10
RESAMPLED, BETTER_RESAMPLED = 0.05, 3
MOST_SECONDS = 60.0
SHIFTS = 8  # frames by which features may lie before or behind
MOST_PAIRS = 3000
ROUND_OFF = 1e-6
MOST_TOLD = 3
MUCH = 1e6  # instead of an infinite error, in sums
FEW = 20  # frames, below which mean and std of each frequency are not fitted
SCALES = {"log", "amplitude", "mean and std", "mel_norm", "power", "offset", "orthonormal"}


class Trial(NamedTuple):
    """Some changes, the front end with them, its error, and by how many frames u is shifted."""

    changes: tuple[Change, ...]
    frontend: FrontEnd
    error: float
    shift: int = 0


def check_frontend(
    model: Any,
    clip: str | os.PathLike[str] | AnyArray,
    features: str | os.PathLike[str] | AnyArray,
    *,
    frontend: FrontEnd | str | os.PathLike[str] | None = None,
    rate: float | None = None,
) -> FrontEndCheck:
    """Say whether a declared front end computes given features of a recording, or what is off.

    Parameters
    ----------
    model : path or Model
        An ONNX model that reads features.
    clip : path or array (N,)
        The recording that the features were computed from: a sound file, or floats with full
        scale 1.  A few seconds of speech or music, with quiet parts, tell most.
    features : path or array
        What the user's own pipeline computes from it: numbers, or a NumPy file of them, in the
        shape that the model reads; axes of length one may be left out.
    frontend : FrontEnd or path, optional
        The declaration; if not given, the model's own, as for `dftlrp.explain`.
    rate : float, optional
        Hertz at which an array was sampled; the front end's, if not given.

    Returns
    -------
    FrontEndCheck
        Whether they agree, and if not which setting is wrong; ``print`` says it in words.

    Raises
    ------
    InputError
        The model has no front end, or the clip or the features cannot be read or compared.

    See Also
    --------
    FrontEnd : The declaration.
    check : Compares an exported model with its network.

    Examples
    --------
    >>> from scipy.io import wavfile
    >>> rate, samples = wavfile.read(clip)
    >>> features = np.fft.rfft(samples / 32768, norm="ortho")
    >>> features = np.stack([features.real, features.imag])
    >>> dftlrp.check_frontend("spectrum", clip, features).ok
    True
    """
    behind = attach_front_end(as_model(model), frontend)
    if (declared := behind.frontend) is None:
        raise InputError(f"{behind.path}: has no front end to check: give one (--frontend)")
    recording = _read_given(clip, rate or declared.rate)
    given = _read_features(features)
    count = len(declared.axes) - 1
    if given.ndim != count:
        raise InputError(
            f"the features have shape {given.shape} without axes of length one: {count} axes are "
            f"needed, those of one recording in the order {declared.layout}"
        )
    (value,) = behind.graph.signals.values()
    reads = (value.dims or (None,))[-1]
    recording, notes = _cut_as_model(recording, declared, _to_own_order(given, declared), reads)
    found = check_features(declared, recording, given)
    resampled = recording.rate != declared.rate
    told = (f"resampled from {recording.rate:g} Hz to {declared.rate:g} Hz",) if resampled else ()
    return replace(found, notes=(*notes, *told, *found.notes))


def check_features(declared: FrontEnd, recording: Recording, given: Real) -> FrontEndCheck:
    """Return what `check_frontend` does, of a recording and features without axes of length one."""
    return _Search(declared, recording, given).find()


def _read_given(clip: Any, rate: float) -> Recording:
    is_file = isinstance(clip, str | os.PathLike)
    recording = read_recording(clip) if is_file else from_array(clip, rate)
    if recording.length > MOST_SECONDS * (recording.rate or rate):
        raise InputError(f"the clip is longer than {MOST_SECONDS:g} s: a few seconds are enough")
    return recording


def _read_features(features: Any) -> Real:
    """Return features as float64 without axes of length one."""
    if isinstance(features, str | os.PathLike):
        path = Path(features)
        try:
            with regular(path, InputError) as (file, _):
                array = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise InputError(f"{path}: not a NumPy file (.npy) of numbers: {error}") from None
    else:
        array = np.asarray(features)
    if array.dtype.kind not in "fiu" or not array.size:
        raise InputError(f"the features are {array.dtype} of shape {array.shape}: give numbers")
    array = np.squeeze(array).astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"the features hold {array[~np.isfinite(array)][0]}")
    if np.ptp(array) == 0:
        raise InputError("the features are all the same number: take a clip that is not silent")
    return array


def _to_own_order(features: Real, fe: FrontEnd) -> Real:
    """Return features, in the order of the layout, as (time, frequency[, part])."""
    named = [axis for axis in fe.layout if axis not in {1, "batch"}]
    return features.transpose([named.index(axis) for axis in fe.axes[1:]])


def _cut_as_model(
    recording: Recording, fe: FrontEnd, features: Real, reads: int | None
) -> tuple[Recording, tuple[str, ...]]:
    """Return the recording as it is, or as long as the model reads where the features are so."""
    own = recording.rate or fe.rate
    if reads is None or own != fe.rate or fe.transform == "dft":
        return recording, ()
    if fe.frames(recording.length) == len(features) or fe.frames(reads) != len(features):
        return recording, ()
    samples = np.pad(recording.samples, (0, max(0, reads - recording.length)))[:reads]
    said = f"the features are as long as the model reads: the first {reads} samples were taken"
    return replace(recording, samples=samples), (said,)


class _Search:
    """Finds the fewest changes of a front end that make it compute given features."""

    def __init__(self, declared: FrontEnd, recording: Recording, given: Real) -> None:
        self.declared = declared
        self.given = _to_own_order(given, declared)
        self.bench = Bench(recording)
        self.resampled = recording.rate != declared.rate
        self.whole = True  # whether only equal numbers of frames are compared

    def find(self) -> FrontEndCheck:
        """Return the first result, in the order of the module's docstring, that fits."""
        start = self.measure(())
        if start.error <= (RESAMPLED if self.resampled else AGREES):
            return self._report(start, start)
        singles = list_changes(self.declared, self.given, self.bench)
        nearest = start
        for self.whole in (True, False):
            start = self.measure(())
            if not self.whole and self.fits(start, None):
                return self._report(start, start)
            for stage in self._list_stages(singles):
                trials = list(stage)
                if fitting := [t for t in trials if self.fits(t, start)]:
                    return self._report(start, *_rank(fitting))
                nearest = min([nearest, *trials], key=lambda trial: trial.error)
            if start.error <= FITS and self.whole:
                return self._report(start, start)
        return self._report(start, nearest, fits=False)  # nothing does

    def _list_stages(self, singles: Sequence[Change]) -> Iterator[Iterable[Trial]]:
        one = [self.measure((change,)) for change in singles]
        yield one
        alive = [t for t in one if np.isfinite(t.error)]
        scales = [c for c in singles if c.setting in SCALES]
        errors = {id(t.changes[0]): t.error for t in one}
        yield self._measure_pairs(scales, errors)
        yield self._fit_affine([()])
        yield self._fit_floor()
        scaled = list(self._fit_affine([t.changes for t in alive]))
        start = self.measure(())
        promising = [t.changes[0] for t in scaled if self.fits(t, start)]
        named = product(promising, scales)  # a logarithm is a better answer than a deviation
        yield [self.measure((a, b)) for a, b in named if a.setting != b.setting]
        yield scaled
        yield self._measure_pairs(singles, errors)

    def fits(self, trial: Trial, start: Trial | None) -> bool:
        """Return whether an error is small, and much smaller than that of what was declared."""
        resampled = self.resampled or any("rate" in c.fields for c in trial.changes)
        most, better = (RESAMPLED, BETTER_RESAMPLED) if resampled else (FITS, BETTER)
        return trial.error <= most and (start is None or trial.error * better <= start.error)

    def _measure_pairs(
        self, changes: Sequence[Change], errors: Mapping[int, float]
    ) -> Iterator[Trial]:
        """Yield pairs, those of changes that help alone first; after a fit only the same settings.

        Parameters
        ----------
        errors : dict of int to float
            Error of each change alone, by the identity of the change.
        """
        pairs = [(a, b) for a, b in combinations(changes, 2) if a.setting != b.setting]
        pairs.sort(key=lambda pair: sum(min(errors[id(c)], MUCH) for c in pair))
        del pairs[MOST_PAIRS:]
        start, wanted = self.measure(()), set[str]()
        for pair in steps(pairs, "pairs of settings"):
            settings = {change.setting for change in pair}
            if not wanted or settings == wanted:
                yield (trial := self.measure(pair))
                wanted = wanted or (settings if self.fits(trial, start) else set())

    def measure(self, changes: tuple[Change, ...]) -> Trial:
        """Return the error of a front end with some changes; infinite where it does not compare."""
        fe = apply_changes(self.declared, changes)
        compared = None if fe is None else self._compute(fe, changes)
        if fe is None or compared is None:
            return Trial(changes, fe or self.declared, np.inf)
        u, c, shift = compared
        return Trial(changes, fe, _measure_error(u, c), shift)

    def _compute(self, fe: FrontEnd, changes: Sequence[Change]) -> tuple[Real, Real, int] | None:
        """Return the features given and computed, in the frames that both have."""
        taken = next((c.taken_at for c in changes if c.taken_at), None)
        order = next((c.order for c in changes if c.order), None)
        u = self.given if order is None else self.given.transpose(order)
        timed = fe.transform == "stft"
        frames = self.bench.count_frames(fe, taken) if timed else 1
        if frames < 1 or u.ndim != len(fe.axes) - 1 or (timed and self.whole and frames != len(u)):
            return None
        if fe.features not in {None, u.shape[1 if timed else 0]}:
            return None
        c = self.bench.compute(fe, taken)
        if c.shape[timed:] != u.shape[timed:] or not np.isfinite(c).all():
            return None
        return (u, c, 0) if c.shape == u.shape else _align(u, c, -(-fe.n_fft // fe.hop))

    def _fit_affine(self, starts: Iterable[tuple[Change, ...]]) -> Iterator[Trial]:
        """Yield trials with mean and std fitted, alike for all frequencies and for each."""
        for changes in starts:
            fe = apply_changes(self.declared, changes)
            if fe is None or {"mean", "std"} & {k for c in changes for k in c.fields}:
                continue
            plain = replace(fe, mean=None, std=None)
            if (compared := self._compute(plain, changes)) is None or not plain.log:
                continue
            u, c, shift = compared
            for axis in (None, 0) if len(u) >= FEW and u.ndim == 2 else (None,):
                mean, std = _fit_scale(u, c, axis)
                if not (np.isfinite(mean).all() and np.isfinite(std).all() and np.all(std != 0)):
                    continue
                made = {"mean": _round_numbers(mean), "std": _round_numbers(std)}
                fitted = Change("mean and std", made, usual=False)
                found = apply_changes(plain, [fitted])
                if found is not None:
                    error = _measure_error(u, (c - mean) / std)
                    yield Trial((*changes, fitted), found, error, shift)

    def _fit_floor(self) -> Iterator[Trial]:
        """Yield a trial with floor, mean and std fitted: mean and std to what lies above the floor.

        There, a feature is the smallest of all, and (log(floor) - mean) / std.
        """
        lowest = 10.0**-30
        bare = replace(self.declared, mean=None, std=None, top_db=None, normalise=None)
        fe = replace(bare, floor=lowest, offset=0.0) if bare.log else None
        if fe is None or (compared := self._compute(fe, ())) is None:
            return
        u, c, _ = compared
        above = u > u.min() + 1e-6 * np.ptp(u)
        mean, std = _fit_scale(u[above], c[above], None)
        floor = invert_log(fe, fe.log, float(u.min() * std + mean))
        if std > 0 and floor > lowest:
            fitted = Change(
                "mean and std",
                {"mean": _round_numbers(mean), "std": _round_numbers(std)},
                usual=False,
            )
            yield self.measure((Change("floor", {"floor": floor, "offset": 0.0}), fitted))

    def _report(
        self, start: Trial, best: Trial, *others: Trial, fits: bool = True
    ) -> FrontEndCheck:
        sentences = tuple(tell_change(change, self.declared) for change in best.changes)
        notes: tuple[str, ...] = ()
        if fits and not self.whole:
            frames = self.bench.count_frames(best.frontend)
            where = (
                f", and begin {abs(best.shift)} frames {'later' if best.shift > 0 else 'earlier'}"
                if best.shift
                else ""
            )
            notes = (
                f"the features have {len(self.given)} frames, the clip has {frames}{where}: those "
                "that both have were compared",
            )
        return FrontEndCheck(
            self.declared, start.error, best.frontend if fits else None, best.error,
            tuple(change.setting for change in best.changes), sentences,
            tuple(" and ".join(tell_change(c, self.declared) for c in t.changes) for t in others),
            notes,
        )  # fmt: skip


def _rank(fitting: Sequence[Trial]) -> list[Trial]:
    """Return the best of what fits, and what else is as good, once for all values of a setting.

    Among errors that differ by less than round-off, usual values come before those that were read
    from the features.
    """
    least = min(t.error for t in fitting)
    alike = [t for t in fitting if t.error <= max(3 * least, ROUND_OFF)]
    alike.sort(key=lambda t: sum(not c.usual for c in t.changes))
    found = dict[frozenset[str], Trial]()
    for trial in alike:
        found.setdefault(frozenset(c.setting for c in trial.changes), trial)
    return list(found.values())[:MOST_TOLD]


def _measure_error(u: Real, c: Real) -> float:
    size = float(np.linalg.norm(u - u.mean()))
    return float(np.linalg.norm(u - c)) / max(size, 1e-300)


def _align(u: Real, c: Real, edge: int) -> tuple[Real, Real, int] | None:
    """Return the frames that both have, but for those at an end, where they are most alike.

    A shift s means that frame t of u is frame t + s of c.
    """
    best: tuple[float, Real, Real, int] | None = None
    for shift in sorted(range(-SHIFTS, SHIFTS + 1), key=abs):
        left = u[max(0, -shift) :], c[max(0, shift) :]
        count = max(0, min(map(len, left)) - edge)
        a, b = (side[edge * (shift != 0) : count] for side in left)
        if len(a) < FEW // 2 or np.ptp(a) == 0:
            continue
        error = _measure_error(a, b)
        if best is None or error < best[0] / 2:
            best = error, a, b, shift
    return best and best[1:]


def _fit_scale(u: Real, c: Real, axis: int | None) -> tuple[Any, Any]:
    """Return mean and std for which (c - mean) / std is nearest to u, by least squares."""
    with np.errstate(all="ignore"):
        cu, cc = c - c.mean(axis=axis), u - u.mean(axis=axis)
        slope = (cu * cc).sum(axis=axis) / (cu * cu).sum(axis=axis)
        return c.mean(axis=axis) - u.mean(axis=axis) / slope, 1 / slope


def _round_numbers(values: Any) -> Any:
    rounded = [float(f"{v:.6g}") for v in np.ravel(values)]
    return tuple(rounded) if np.ndim(values) else rounded[0]
