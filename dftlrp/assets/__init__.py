"""Models and a clip that come with the package, to try it on.

In comes a name, out goes the path of a file.  This room must never know what is done with the file.
"""

from __future__ import annotations

from pathlib import Path

from dftlrp.core.names import find_name

MODELS = {name: f"{name}.onnx" for name in ("waveform", "spectrum", "stft", "mel")}
FILES = {**MODELS, "clip": "clip.wav"}


def embedded(name: str) -> Path:
    """Return the path of a file that comes with the package.

    Parameters
    ----------
    name : {"clip", "waveform", "spectrum", "stft", "mel"}
        ``"clip"`` is a spoken seven of 0.7 s at 8000 Hz; the others are digit classifiers that
        read the ``"waveform"``, its ``"spectrum"`` or ``"stft"`` (by a declared front end), or
        compute a log-``"mel"`` spectrogram.

    Returns
    -------
    Path
        Of a WAV or an ONNX file.

    Raises
    ------
    InputError
        Unknown name.

    See Also
    --------
    load : Takes the name of a model, too.

    Examples
    --------
    >>> dftlrp.embedded("clip").name
    'clip.wav'
    >>> dftlrp.load(dftlrp.embedded("waveform")).rate
    8000.0
    """
    return Path(__file__).parent / FILES[find_name(name, FILES, "nothing is shipped as")]
