"""What other libraries call the fields of a front end: told, not taken; a word is one thing."""

from __future__ import annotations

from dftlrp.core.names import find_alike
from dftlrp.graph.frontend.fields import FIELDS

# By the name that librosa, torchaudio, Kaldi, TensorFlow or Transformers use: the field here, and
# where that is not all, what to write.
OTHER_NAMES = {
    "sr": "rate", "sample_rate": "rate", "sampling_rate": "rate", "samplerate": "rate",
    "fs": "rate", "sample_frequency": "rate", "samp_freq": "rate", "sr_target": "rate",
    "hop_length": "hop", "hop_size": "hop", "hopsize": "hop", "stride": "hop",
    "frame_step": "hop", "frame_shift": "hop, in samples: 10 ms at 16000 Hz are 160",
    "window_stride": "hop, in samples: 0.01 s at 16000 Hz are 160",
    "nfft": "n_fft", "fft_length": "n_fft", "fft_size": "n_fft", "n_dft": "n_fft",
    "round_to_power_of_two": "n_fft, in samples",
    "frame_length": "win_length, in samples: 25 ms at 16000 Hz are 400",
    "win_size": "win_length", "window_length": "win_length",
    "window_size": "win_length, in samples: 0.025 s at 16000 Hz are 400",
    "window_type": "window", "window_fn": "window", "win_fn": "window",
    "centre": "center", "padding_mode": "pad_mode",
    "pad_end": "samples, the length with the zeros behind the recording",
    "snip_edges": "frame = 'window' with center = false (snip_edges) or center = true, "
    "pad_mode = 'symmetric' (without)",
    "remove_dc_offset": "remove_dc", "preemphasis_coefficient": "preemphasis",
    "preemph_coeff": "preemphasis", "preemph": "preemphasis", "pre_emphasis": "preemphasis",
    "dither": "no key: it is noise, leave it out (0)",
    "use_energy": "no key: a front end has no column of energies, so use_energy must be false",
    "energy_floor": "floor, which stands for the smallest energy of a mel band",
    "n_mel": "n_mels", "num_mels": "n_mels", "num_mel_bins": "n_mels", "num_bins": "n_mels",
    "nb_mels": "n_mels", "mel_bins": "n_mels", "nfilt": "n_mels", "feature_size": "n_mels",
    "f_min": "fmin", "low_freq": "fmin", "lower_edge_hertz": "fmin", "min_frequency": "fmin",
    "lowfreq": "fmin", "f_max": "fmax", "high_freq": "fmax", "upper_edge_hertz": "fmax",
    "max_frequency": "fmax", "highfreq": "fmax",
    "norm": "mel_norm = 'slaney' or false", "htk": "mel_scale = 'htk' or 'slaney'",
    "normalized": "orthonormal", "use_power": "power = 2.0 (true) or 1.0 (false)",
    "magnitude_power": "power",
    "use_log_fbank": "log = 'ln' or false", "log_mel": "log = 'ln', 'log10' or 'db'",
    "mel_floor": "floor", "amin": "floor, of the power where power = 2.0",
    "eps": "floor, below which nothing goes, or offset, which is added",
    "log_offset": "offset", "log_zero_guard_value": "offset", "stop_db": "top_db",
    "ref": "no key: 10 log10 ref is subtracted, as mean is",
    "num_ceps": "n_mfcc", "num_mfccs": "n_mfcc", "n_cepstral": "n_mfcc", "numcep": "n_mfcc",
    "dct_type": "no key: n_mfcc takes the orthonormal DCT-II",
    "lfr_m": "stack", "lfr_n": "stack_hop",
    "normalize": "normalise", "cmvn": "normalise = 'feature' or mean and std", "cmn": "normalise = "
    "'mean'", "do_normalize": "normalise", "image_mean": "mean", "image_std": "std",
    "gain": "amplitude", "scale": "amplitude", "length": "samples", "n_samples": "samples",
    "chunk_length": "samples, of which 30 s at 16000 Hz are 480000", "axes": "layout",
}  # fmt: skip


def suggest_field(name: str) -> str:
    """Return what to write instead of a key that is none."""
    lowered = name.lower().replace("-", "_")
    if told := OTHER_NAMES.get(lowered):
        return told if told.startswith("no key") else f"did you mean {told}?"
    if near := find_alike(lowered, FIELDS, 1):
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(sorted(FIELDS))}"
