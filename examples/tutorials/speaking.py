"""What the tutorials say: words spoken by eSpeak NG, the same sound each time.

The library and its voices come with the package espeakng-loader.  A voice is a language, and a
speaker behind a plus if you like: "en-us", "en-gb-scotland", "en+f3", "de+Annie"; `SPEAKERS` lists
the second parts.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

VOICES = Path(espeakng_loader.get_data_path())
SPEAKERS = sorted(p.name for p in (VOICES / "voices" / "!v").iterdir())
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPOKEN = 22050  # hertz at which eSpeak NG speaks


def speak(text: str, voice: str = "en-us", rate: int = 8000) -> NDArray[np.float32]:
    """Return what a voice says, samples between -1 and 1 at `rate` hertz."""
    return speak_all([(text, voice)], rate)[0]


def speak_all(sayings: Sequence[tuple[str, str]], rate: int = 8000) -> list[NDArray[np.float32]]:
    """Return what each pair of a text and a voice sounds like.

    A process of its own says them: eSpeak NG goes on with its trembling of the pitch where the last
    word ended, so that only the same words in the same order sound alike to the last bit.
    """
    asked = json.dumps(list(sayings)).encode()
    spoken = subprocess.run(
        [sys.executable, __file__], input=asked, capture_output=True, check=False
    )
    if spoken.returncode != 0:
        raise ValueError(spoken.stderr.decode().strip())
    lengths, _, rest = spoken.stdout.partition(b"\n")
    stops = np.cumsum(json.loads(lengths))
    clips = np.split(np.frombuffer(rest, np.int16) / 2.0**15, stops[:-1])
    return [resample(clip, rate) for clip in clips]


def write_digits(folder: Path, voices: Sequence[str], rate: int = 8000) -> None:
    """Write what each voice says of each digit, as folder/nine/en+Hugo.wav."""
    import soundfile

    sayings = [(digit, voice) for digit in DIGITS for voice in voices]
    for (digit, voice), clip in zip(sayings, speak_all(sayings, rate), strict=True):
        (folder / digit).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / digit / f"{voice}.wav", clip, rate)


def resample(clip: NDArray[np.float64], rate: int) -> NDArray[np.float32]:
    """Return a clip at another rate."""
    from scipy import signal  # here, since the process that speaks does without

    common = np.gcd(rate, SPOKEN)
    return signal.resample_poly(clip, rate // common, SPOKEN // common).astype(np.float32)


def say_in_order(sayings: list[tuple[str, str]]) -> list[bytes]:
    """Have the library say each; return their samples of 16 bits."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    parts: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def keep(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            parts.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on

    synchronous, utf8 = 2, 1
    if library.espeak_Initialize(synchronous, 0, str(VOICES.parent).encode(), 0) != SPOKEN:
        sys.exit("eSpeak NG did not start")
    library.espeak_ng_SetRandSeed(1)  # of breath and whisper
    library.espeak_SetSynthCallback(keep)
    said = []
    for text, voice in sayings:
        parts.clear()
        speaker = voice.partition("+")[2]  # the library takes another where it does not know one
        if library.espeak_SetVoiceByName(voice.encode()) != 0 or speaker not in ["", *SPEAKERS]:
            sys.exit(f"eSpeak NG has no voice {voice!r}")
        written = text.encode() + b"\0"
        library.espeak_Synth(written, len(written), 0, 1, 0, utf8, None, None)
        library.espeak_Synchronize()
        said.append(b"".join(parts))
    return said


if __name__ == "__main__":
    words = say_in_order(json.load(sys.stdin))
    sys.stdout.buffer.write(json.dumps([len(w) // 2 for w in words]).encode() + b"\n")
    sys.stdout.buffer.write(b"".join(words))
