"""A declaration to start from: the settings of a library's own features, with a comment on each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from dftlrp.core.text import make_printable
from dftlrp.core.types import InputError
from dftlrp.graph.frontend.declaration import FrontEnd, write_value
from dftlrp.graph.frontend.fields import FIELDS
from dftlrp.graph.structure import Dims, Graph

TIME_FIRST = ("batch", "time", "frequency")
EPSILON = 1.1920928955078125e-07  # of float32
COUNTS = (13, 20, 23, 26, 32, 40, 64, 80, 96, 128, 229, 256)  # usual numbers of mel filters
MOST_MFCC = 20  # so few frequencies are rather cepstral coefficients


class Like(NamedTuple):
    """What computes features, in words, and the front end that is the same."""

    words: str
    frontend: FrontEnd


LIKE = {
    "librosa": Like(
        "librosa.feature.melspectrogram and librosa.power_to_db with their defaults",
        FrontEnd(22050, n_fft=2048, hop=512, n_mels=128, log="db", top_db=80.0),
    ),
    "torchaudio": Like(
        "torchaudio.transforms.MelSpectrogram and AmplitudeToDB with their defaults",
        FrontEnd(
            16000, n_fft=400, hop=200, pad_mode="reflect", n_mels=128, mel_scale="htk",
            mel_norm=None, log="db",
        ),
    ),
    "kaldi": Like(
        "Kaldi's compute-fbank-feats without dither, torchaudio.compliance.kaldi.fbank and "
        "kaldi-native-fbank",
        FrontEnd(
            16000, amplitude="int16", n_fft=512, win_length=400, hop=160, window="povey",
            periodic=False, frame="window", center=False, remove_dc=True, preemphasis=0.97,
            n_mels=80, fmin=20.0, mel_scale="htk", mel_norm=None, triangles="mel", log="ln",
            floor=EPSILON, layout=TIME_FIRST,
        ),
    ),
    "whisper": Like(
        "Whisper's log_mel_spectrogram: (log10 - 4) / 4 and a range of 8 are these decibels",
        FrontEnd(
            16000, n_fft=400, hop=160, pad_mode="reflect", drop_last=True, n_mels=80, log="db",
            top_db=80.0, mean=-40.0, std=40.0,
        ),
    ),
    "openwakeword": Like(
        "openWakeWord's melspectrogram.onnx and its x / 10 + 2",
        FrontEnd(
            16000, amplitude="int16", n_fft=512, win_length=400, hop=160, center=False, n_mels=32,
            fmin=60.0, fmax=3800.0, log="db", top_db=80.0, mean=-20.0, std=10.0, layout=TIME_FIRST,
        ),
    ),
    "tf": Like(
        "tf.signal.stft, linear_to_mel_weight_matrix and log(x + 1e-6), as TensorFlow's "
        "documentation computes MFCCs",
        FrontEnd(
            16000, n_fft=1024, win_length=1024, hop=256, frame="window", center=False, power=1.0,
            n_mels=80, fmin=80.0, fmax=7600.0, mel_scale="htk", mel_norm=None, triangles="mel",
            log="ln", floor=0.0, offset=1e-6, layout=TIME_FIRST,
        ),
    ),
}  # fmt: skip

COMMENTS = {  # what each key means, with its unit
    "rate": "sampling rate that is read, hertz",
    "amplitude": 'full scale: "unit" 1, "int16" 32768, "peak" or "rms" of the recording',
    "transform": '"stft": frames; "dft": one DFT of the whole recording',
    "n_fft": "length of the DFT, samples",
    "hop": "from one frame to the next, samples",
    "win_length": "length of the window, samples; false: n_fft",
    "window": "any of scipy.signal.get_window, or povey",
    "periodic": "true: librosa, torch; false, symmetric: Kaldi, numpy.hanning",
    "frame": '"n_fft": librosa, torch; "window", zeros behind it: Kaldi, TensorFlow',
    "center": "whether both ends are padded so that frame t is centred on sample t hop",
    "pad_mode": 'of center: "constant" (zeros), "reflect", "symmetric" (Kaldi)',
    "drop_last": "whether the last frame is left out (Whisper)",
    "remove_dc": "whether the mean of each frame is subtracted (Kaldi)",
    "preemphasis": "p of x[i] - p x[i - 1] within each frame (Kaldi)",
    "orthonormal": "whether the DFT is divided by the square root of its length",
    "power": "of the spectrum: 2.0 power, 1.0 magnitude, false: real and imaginary part",
    "n_mels": "number of mel filters; false: none",
    "fmin": "lower end of the lowest filter, hertz",
    "fmax": "upper end of the highest filter, hertz; false: half the rate",
    "mel_scale": '"slaney" (librosa) or "htk" (torchaudio, Kaldi, TensorFlow)',
    "mel_norm": '"slaney": each filter has unit area (librosa); false: unit height',
    "triangles": 'linear in "hertz" (librosa, torchaudio) or "mel" (Kaldi, TensorFlow)',
    "log": '"ln", "log10", "db" or false',
    "floor": "what is smaller counts as this before the logarithm",
    "offset": "added before the logarithm",
    "top_db": "range below the maximum of the recording, decibels; false: no limit",
    "n_mfcc": "number of cepstral coefficients; false: no DCT",
    "stack": "frames joined to one (low frame rate m of Kaldi, FunASR)",
    "stack_hop": "frames from one such to the next (low frame rate n)",
    "mean": "subtracted: a number, or a list of one for each frequency; false: nothing",
    "std": "divided by: a number, or a list of one for each frequency; false: nothing",
    "normalise": 'over the recording: "utterance", "feature", "mean" or false',
    "samples": "length of recording the model was made for; false: the shortest that fits",
    "layout": "axes of the model's input",
}


def make_template(graph: Graph, like: str, name: str) -> str:
    """Return a commented declaration in TOML for a model, as a library computes features.

    Parameters
    ----------
    like : str
        One of `LIKE`.
    name : str
        The model's, for the first line.

    Raises
    ------
    InputError
        The model has not one input that is a signal, or one of another shape than features of a
        time and a frequency axis.
    """
    if like not in LIKE:
        raise InputError(f"--like {like!r}: known are {', '.join(LIKE)}")
    signals = graph.signals
    if len(signals) != 1:
        raise InputError(f"a front end needs a model with one signal, not {list(signals)}")
    (dims,), shown = (value.dims for value in signals.values()), make_printable(name)
    words, start = LIKE[like]
    found, told = _fill_from_shape(start, dims)
    if rate := _read_known_rate(graph):
        found = replace(found, rate=rate)
        told = [*told, "rate"]
    lines = [
        f"# Front end of {shown}, like {words}.",
        f"# Read from the model: {', '.join(told) or 'nothing'}. All else is a guess: with",
        "# features that your own code made of a clip, this says which key is wrong:",
        f"#     dftlrp frontend check {shown} CLIP.wav --features MINE.npy",
        "",
        "[frontend]",
    ]
    settings = [f"{key} = {write_value(getattr(found, key))}" for key in FIELDS]
    wide = max(len(text) for text in settings if len(text) < 40)
    lines += [
        f"{text.ljust(wide)}  # {COMMENTS[key]}" for text, key in zip(settings, FIELDS, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _read_known_rate(graph: Graph) -> float | None:
    try:
        rate = float(graph.metadata.get("sample_rate", ""))
    except ValueError:
        return None
    return rate if 0 < rate <= 1e9 else None


def _fill_from_shape(start: FrontEnd, dims: Dims | None) -> tuple[FrontEnd, list[str]]:
    """Return the front end for an input of this shape, and what was read from the shape."""
    if dims is None:
        return start, []
    long = [i for i, d in enumerate(dims) if i > 0 and d != 1]
    if len(long) != 2:
        shown = tuple("any" if d is None else d for d in dims)
        raise InputError(
            f"input of shape {shown}: features of one recording have a time and a frequency axis, "
            "as (batch, 1, frequency, time); write the TOML file by hand"
        )
    frequency = _find_frequency(start, dims, long)
    named = {0: "batch", frequency: "frequency", sum(long) - frequency: "time"}
    layout = tuple(named.get(i, 1) for i in range(len(dims)))
    count = dims[frequency]
    return replace(start, layout=layout, **_read_counts(start, count)), (
        ["layout", *_read_counts(start, count)]
    )


def _find_frequency(start: FrontEnd, dims: Dims, long: list[int]) -> int:
    """Return the axis of frequency: of a usual length, else where the library has it."""
    own = long[[a for a in start.layout if a not in {1, "batch"}].index("frequency")]
    known = [i for i in long if dims[i] is not None]
    if len(known) == 1:
        return known[0]
    for counts in ((start.n_mels,), COUNTS):
        usual = [i for i in known if dims[i] in counts]
        if len(usual) == 1:
            return usual[0]
    return own


def _read_counts(start: FrontEnd, count: int | None) -> dict[str, Any]:
    """Return the settings that make so many frequencies."""
    mels = start.n_mels or 80
    if count is None:
        return {}
    if start.triangles == "mel" and start.remove_dc and count > mels and count % mels == 0:
        joined = count // mels
        return {"stack": joined, "stack_hop": joined - 1 if joined == 7 else 1}  # as FunASR's
    if count <= MOST_MFCC:
        return {"n_mfcc": count, "n_mels": 40}
    return {"n_mels": count}
