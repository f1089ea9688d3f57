"""What the package ships: models and a clip to try them on."""

from __future__ import annotations

from pathlib import Path

from dftlrp.types import InputError

MODELS = {"waveform": "waveform.onnx"}
FILES = {**MODELS, "clip": "clip.wav"}


def embedded(name: str) -> Path:
    """Path of a shipped file: ``"waveform"`` (digit classifier) or ``"clip"`` (a spoken seven).

    Raises
    ------
    InputError
        Unknown name.
    """
    if name not in FILES:
        raise InputError(f"nothing named {name!r} is shipped: choose one of {', '.join(FILES)}")
    return Path(__file__).parent / "assets" / FILES[name]
