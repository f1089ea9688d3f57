"""Models and a clip that come with the package, to try it on.

In comes a name, out goes the path of a file.  This room must never know what is done with the file.
"""

from __future__ import annotations

from pathlib import Path

from dftlrp.core.names import find_name

MODELS = {name: f"{name}.onnx" for name in ("waveform", "spectrum", "stft", "mel")}
FILES = {**MODELS, "clip": "clip.wav"}


def embedded(name: str) -> Path:
    """Path of a shipped file.

    ``"clip"`` is a spoken seven; the others are digit classifiers that read the ``"waveform"``, its
    ``"spectrum"`` or ``"stft"`` (by a declared front end), or compute a log-``"mel"`` spectrogram.

    Raises
    ------
    InputError
        Unknown name.
    """
    return Path(__file__).parent / FILES[find_name(name, FILES, "nothing is shipped as")]
