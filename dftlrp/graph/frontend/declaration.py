"""The declaration of a front end: how a waveform becomes what a model reads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.files import regular
from dftlrp.core.types import InputError, Real
from dftlrp.graph.frontend.fields import FIELDS, FLAG, MOST_WEIGHTS, read_field
from dftlrp.graph.frontend.other_names import suggest_field
from dftlrp.spectral.windows import make_window

MOST_TEXT, MOST_DOTS = 2**16, 8  # of TOML: two lists of some thousand numbers, plain keys


@dataclass(frozen=True)
class FrontEnd:
    """How a waveform becomes what a model reads.

    Parameters
    ----------
    rate : float
        Sampling rate that it reads, hertz.
    amplitude : {"unit", "int16", "peak", "rms"}
        Full scale 1; 32768; divided by the recording's peak; by its root mean square.
    transform : {"stft", "dft"}
        Frames, or one DFT of the whole recording (then there is no time axis).
    n_fft, hop : int
        Samples.
    win_length : int, optional
        Samples of the window, which is zero-padded on both sides to ``n_fft``, the default.
    window : str, tuple or list of float
        A name for `scipy.signal.get_window`, a name and parameters, or samples; or ``"povey"``,
        Kaldi's: a symmetric Hann window to the power of 0.85.
    periodic : bool
        Whether a named window is periodic (librosa, torch) or symmetric (Kaldi, `numpy.hanning`).
    frame : {"n_fft", "window"}
        What has to lie within the recording: ``n_fft`` samples with the window in their middle
        (librosa, torch); or those of the window alone, with zeros behind them (Kaldi, TensorFlow).
    center : bool
        Whether the recording is padded at both ends, so that frame t is centred on sample t hop; of
        frames of the window alone on sample (t + 1/2) hop (Kaldi without ``snip_edges``).
    pad_mode : {"constant", "reflect", "symmetric"}
        Zeros; mirror image; mirror image that repeats the outermost sample (Kaldi).
    drop_last : bool
        Whether the last frame is left out (Whisper).
    remove_dc : bool
        Whether the mean of each frame is subtracted from it.
    preemphasis : float
        p of x_i - p x_(i - 1), within each frame before the window (Kaldi; there x_(-1) is x_0).
    orthonormal : bool
        Whether the DFT is divided by the square root of its length.
    power : float or None
        2: power; 1: magnitude; None: real and imaginary part (axis ``part``).
    n_mels : int, optional
        Number of mel filters; no mel step if not given.
    fmin, fmax : float
        Hertz; fmax is half the rate if not given.
    mel_scale, mel_norm
        As in `dftlrp.spectral.mel.make_filterbank`.
    triangles : {"hertz", "mel"}
        In what the mel filters rise and fall linearly: hertz (librosa, torchaudio) or mel (Kaldi,
        TensorFlow).
    log : {None, "ln", "log10", "db"}
        ``"db"``: 10 log10 of a power, 20 log10 of a magnitude.
    floor : float
        Values below it count as the floor before the logarithm; not 0 unless there is an offset.
    offset : float
        Added before the logarithm (after the floor).
    top_db : float, optional
        Range of a dB scale (``log="db"``) below the recording's maximum, decibels.
    n_mfcc : int, optional
        Number of cepstral coefficients (orthonormal DCT-II).
    stack, stack_hop : int
        Number of frames that are joined to one, one after the other along ``frequency``, and the
        number of frames from one such to the next: Kaldi's and FunASR's low frame rate (LFR m, n).
        At both ends the outermost frame is repeated.
    mean, std : float or list of float, optional
        Subtracted and divided by, one number or one for each frequency (mel filter, coefficient).
    normalise : {None, "utterance", "feature", "mean"}
        Zero mean and unit deviation over the recording; over time for each frequency (and part);
        ``"mean"`` is zero mean alone, over time for each frequency.
    samples : int, optional
        Length of recording that the model was made for; if not given, the shortest that gives the
        number of frames that the model reads; for one DFT of the whole recording 2 (K - 1), as for
        `irfft`: K bins do not tell whether the length was odd, and then it must be given.
    layout : tuple
        Axes of the model's input: ``"batch"``, ``"part"``, ``"frequency"``, ``"time"``, or 1.

    Raises
    ------
    InputError
        A value has a wrong type or is out of range, or values do not go together.

    See Also
    --------
    check_frontend : Whether it computes given features.
    explain : Takes one, or finds it beside the model.

    Examples
    --------
    >>> front = dftlrp.FrontEnd(rate=16000, n_mels=80, log="ln", floor=1e-5)
    >>> front.features, front.frames(16000), front.length(98)
    (80, 101, 15520)
    >>> print(front.to_text())
    [frontend]
    rate = 16000.0
    n_mels = 80
    log = "ln"
    floor = 1e-05
    <BLANKLINE>
    >>> dftlrp.FrontEnd.from_text(front.to_text()) == front
    True
    """

    rate: float
    amplitude: str = "unit"
    transform: str = "stft"
    n_fft: int = 400
    hop: int = 160
    win_length: int | None = None
    window: str | tuple[Any, ...] = "hann"
    periodic: bool = True
    frame: str = "n_fft"
    center: bool = True
    pad_mode: str = "constant"
    drop_last: bool = False
    remove_dc: bool = False
    preemphasis: float = 0.0
    orthonormal: bool = False
    power: float | None = 2.0
    n_mels: int | None = None
    fmin: float = 0.0
    fmax: float | None = None
    mel_scale: str = "slaney"
    mel_norm: str | None = "slaney"
    triangles: str = "hertz"
    log: str | None = None
    floor: float = 1e-10
    offset: float = 0.0
    top_db: float | None = None
    n_mfcc: int | None = None
    stack: int = 1
    stack_hop: int = 1
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    normalise: str | None = None
    samples: int | None = None
    layout: tuple[str | int, ...] = ("batch", "frequency", "time")

    def __post_init__(self) -> None:
        for name in FIELDS:
            object.__setattr__(self, name, read_field(name, getattr(self, name)))
        make_taps(self)
        for law in LAWS:
            if not law.holds(self):
                raise InputError(f"front end: {law.words.format(fe=self)}")

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of the features, before they are laid out."""
        time = ("time",) if self.transform == "stft" else ()
        return ("batch", *time, "frequency", *(("part",) if self.power is None else ()))

    @property
    def size(self) -> int | None:
        """Length of the DFT; None if it is that of a recording whose length is not declared."""
        return self.n_fft if self.transform == "stft" else self.samples

    @property
    def features(self) -> int | None:
        """Length of the axis ``frequency``; None if it is not known."""
        bins = None if self.size is None else self.size // 2 + 1
        single = self.n_mfcc or self.n_mels or bins
        return None if single is None else single * self.stack

    @property
    def span(self) -> int:
        """Number of samples of a frame that have to lie within the padded recording."""
        return (self.win_length or self.n_fft) if self.frame == "window" else self.n_fft

    @property
    def padding(self) -> tuple[int, int]:
        """Number of samples that are put before and behind the recording."""
        if self.transform == "dft" or not self.center:
            return 0, 0
        if self.frame == "n_fft":
            return self.n_fft // 2, self.n_fft // 2
        before = self.span // 2 - self.hop // 2
        return before, self.span - self.hop + self.hop // 2 - before

    @property
    def needs_all(self) -> bool:
        """Whether a frame depends on the whole recording: one DFT, a peak, a mean over it."""
        by_all = self.amplitude in {"peak", "rms"} or self.normalise is not None
        return by_all or self.top_db is not None or self.transform == "dft"

    @property
    def shortest(self) -> int:
        """Number of samples that the padding needs."""
        mirrored = {"constant": 0, "reflect": 1, "symmetric": 0}[self.pad_mode]
        needs = [p + mirrored for p in self.padding if p and self.pad_mode != "constant"]
        return max([1, *needs])

    def frames(self, samples: int) -> int:
        """Return the number of frames of a recording; 1 for one DFT.

        Parameters
        ----------
        samples : int
            Length of the recording at the rate of the front end.

        Returns
        -------
        int
            Length of the axis ``time``; 0 or less where the recording is too short.
        """
        if self.transform == "dft":
            return 1
        count = 1 + (samples + sum(self.padding) - self.span) // self.hop - self.drop_last
        return -(-count // self.stack_hop)

    def length(self, frames: int) -> int:
        """Return the number of samples as declared, or the fewest that give this many frames.

        Parameters
        ----------
        frames : int
            Length of the axis ``time``.

        Returns
        -------
        int
            Samples at the rate of the front end.
        """
        if self.samples is not None:
            return self.samples
        steps = (frames - 1) * self.stack_hop + self.drop_last
        return max(steps * self.hop + self.span - sum(self.padding), self.shortest)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> FrontEnd:
        r"""Return the front end that the table ``[frontend]`` of a TOML file declares.

        Parameters
        ----------
        path : path
            UTF-8 text; its keys are the parameters above, of which ``rate`` must be there.

        Returns
        -------
        FrontEnd
            With the defaults for what the file does not say.

        Raises
        ------
        InputError
            There is no such file, it is not TOML, or it holds an unknown key.

        See Also
        --------
        FrontEnd.to_text : Writes it.

        Examples
        --------
        >>> from pathlib import Path
        >>> written = Path("model.toml").write_text("[frontend]\nrate = 8000\nn_mels = 40\n")
        >>> dftlrp.FrontEnd.from_toml("model.toml").n_mels
        40
        """
        try:
            with regular(Path(path), InputError) as (file, _):
                text = file.read(MOST_TEXT + 1).decode("utf-8")
        except TypeError:
            raise InputError(
                f"frontend is {path!r}, but must be a FrontEnd or the path of a TOML file"
            ) from None
        except UnicodeDecodeError:
            raise InputError(f"{path}: not UTF-8 text") from None
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: str, where: str = "front end") -> FrontEnd:
        """Return the front end that TOML text declares; see `from_toml`.

        Parameters
        ----------
        text : str
            With a table ``[frontend]``.
        where : str
            What messages call it.

        Returns
        -------
        FrontEnd
            With the defaults for what the text does not say.

        Raises
        ------
        InputError
            It is not TOML, or a key is unknown, missing or wrong.
        """
        import tomllib

        _check_text(text, where)
        try:
            table = tomllib.loads(text).get("frontend", {})
        except (ValueError, RecursionError) as error:  # of integers of thousands of digits, too
            raise InputError(f"{where}: not TOML: {error}") from None
        if not isinstance(table, dict):
            raise InputError(f"{where}: frontend must be a table, [frontend]")
        if unknown := sorted(set(table) - set(FIELDS)):
            raise InputError(f"{where}: unknown key {unknown[0]!r}: {suggest_field(unknown[0])}")
        if "rate" not in table:
            raise InputError(f"{where}: [frontend] needs rate")
        off = [k for k, v in table.items() if v is False and FIELDS[k] is not FLAG]
        return cls(**table | dict.fromkeys(off))  # TOML has no null

    def to_text(self) -> str:
        """Return TOML of what differs from the defaults, which `from_text` reads back.

        Returns
        -------
        str
            A table ``[frontend]``, which may stand in a file or in a model's metadata.
        """
        changed = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {k: v for k, v in changed.items() if k == "rate" or v != _DEFAULTS[k]}
        return (
            "\n".join(["[frontend]", *(f"{k} = {write_value(v)}" for k, v in changed.items())])
            + "\n"
        )


def _check_text(text: str, where: str) -> None:
    """Raise `InputError` for text that would take the TOML reader long."""
    if len(text) > MOST_TEXT:
        raise InputError(f"{where}: more than {MOST_TEXT} characters of TOML")
    keys = re.split(r"[\s,=\[\]{}]", ".".join(part.strip(" \t") for part in text.split(".")))
    if max(key.count(".") for key in keys) > MOST_DOTS:
        raise InputError(f"{where}: a key of more than {MOST_DOTS} dots")


class Law(NamedTuple):
    """A condition on several fields, and the message if it fails, a format string of ``fe``."""

    holds: Callable[[FrontEnd], bool]
    words: str


def _find_top(fe: FrontEnd) -> float:
    """Return the upper end of the mel filters, in hertz."""
    return fe.rate / 2 if fe.fmax is None else fe.fmax


def changes_frames(fe: FrontEnd) -> bool:
    """Return whether samples of a frame are mixed before the window."""
    return fe.remove_dc or fe.preemphasis > 0


def make_taps(fe: FrontEnd) -> Real:
    """Return the samples of the window, (win_length,), as declared."""
    length = fe.win_length or fe.n_fft
    window: Any = fe.window
    if window == "povey":
        steps = np.arange(length) / max(length - 1, 1)
        window = (0.5 - 0.5 * np.cos(2 * np.pi * steps)) ** 0.85
    elif not fe.periodic and length > 2 and (isinstance(window, str) or str in map(type, window)):
        begun, _ = make_window(window, length - 1, "front end: window")
        window = np.append(begun, begun[0])  # what a period leaves out
    return make_window(window, length, "front end: window")[0]


def _name_axes(fe: FrontEnd) -> list[str]:
    """Return the sorted names of the axes in the layout."""
    return sorted(str(axis) for axis in fe.layout if axis != 1)


def _find_lists(fe: FrontEnd) -> list[tuple[float, ...]]:
    """Return the lists among mean and std."""
    return [v for v in (fe.mean, fe.std) if isinstance(v, tuple)]


def _count_weights(fe: FrontEnd) -> int:
    """Return the number of weights of the largest matrix."""
    bins = (fe.size or 0) // 2 + 1
    waves = 2 * bins * fe.n_fft if changes_frames(fe) else 0
    return max(bins * (fe.n_mels or 0), (fe.n_mels or bins) * (fe.n_mfcc or 0), waves)


def _has_size(fe: FrontEnd) -> bool:
    """Return whether the length of the DFT is known or not needed."""
    made = bool(fe.n_mels or fe.n_mfcc or _find_lists(fe))
    return fe.size is not None or not made


LAWS = (
    Law(
        lambda fe: fe.power is not None or not (fe.n_mels or fe.log or fe.n_mfcc),
        "mel, log and n_mfcc need a power or magnitude (power=)",
    ),
    Law(
        lambda fe: _name_axes(fe) == sorted(fe.axes),
        "layout {fe.layout} must hold each of {fe.axes} once",
    ),
    Law(
        lambda fe: (fe.win_length or 1) <= fe.n_fft,
        "win_length is {fe.win_length}, more than n_fft = {fe.n_fft}",
    ),
    Law(
        lambda fe: fe.fmin < _find_top(fe) <= fe.rate / 2,
        "fmin = {fe.fmin:g} and fmax = {fe.fmax}: 0 <= fmin < fmax <= rate / 2 is needed",
    ),
    Law(
        lambda fe: fe.log is None or fe.floor + fe.offset > 0,
        "floor = {fe.floor:g} and offset = {fe.offset:g}: a logarithm needs floor + offset > 0",
    ),
    Law(lambda fe: fe.top_db is None or fe.log == "db", "top_db is for log = 'db' only"),
    Law(
        lambda fe: fe.normalise not in {"feature", "mean"} or "time" in fe.axes,
        "normalise = '{fe.normalise}' is over time, which transform = 'dft' has not; use "
        "'utterance'",
    ),
    Law(
        lambda fe: fe.transform == "stft" or not (changes_frames(fe) or fe.drop_last),
        "remove_dc, preemphasis and drop_last are for frames, which transform = 'dft' has not",
    ),
    Law(
        lambda fe: fe.stack == fe.stack_hop == 1 or ("time" in fe.axes and fe.power is not None),
        "stack and stack_hop are for frames of a power or magnitude",
    ),
    Law(
        lambda fe: fe.frame == "n_fft" or not fe.center or fe.hop <= fe.span,
        "hop is {fe.hop}, more than the window of {fe.span} samples: with frame = 'window' and "
        "center it must not be",
    ),
    Law(
        lambda fe: fe.triangles == "hertz" or not fe.mel_norm or not fe.n_mels,
        "triangles = 'mel' have no norm: mel_norm = false",
    ),
    Law(
        _has_size,
        "transform = 'dft' with n_mels, n_mfcc or a list of mean or std needs samples, the length "
        "of recording that it was made for",
    ),
    Law(
        lambda fe: fe.samples is None or fe.frames(fe.samples) >= 1,
        "samples = {fe.samples} is too short for one frame of n_fft = {fe.n_fft}",
    ),
    Law(
        lambda fe: fe.samples is None or fe.samples >= fe.shortest,
        "pad_mode = '{fe.pad_mode}' needs at least {fe.shortest} samples, not {fe.samples}",
    ),
    Law(
        lambda fe: _count_weights(fe) <= MOST_WEIGHTS,
        f"mel filters, cosine transform or frames have more than {MOST_WEIGHTS} weights",
    ),
    Law(
        lambda fe: (fe.n_mfcc or 0) <= (fe.n_mels or (fe.size or 0) // 2 + 1),
        "n_mfcc is {fe.n_mfcc}, more than there are frequencies (n_mels)",
    ),
    Law(
        lambda fe: all(len(v) == fe.features for v in _find_lists(fe)),
        "mean or std is a list of another length than the {fe.features} frequencies",
    ),
)

_DEFAULTS = {f.name: f.default for f in fields(FrontEnd)}


def write_value(value: Any) -> str:
    """Return a value of a field in TOML."""
    if isinstance(value, bool) or value is None:
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(write_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
