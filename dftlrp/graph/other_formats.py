"""Files that are given for an ONNX model and are none: what they are, and how to export them."""

from __future__ import annotations

from pathlib import Path

TORCH = (
    'python -c "import torch; m = torch.load({name!r}, weights_only=False).eval(); '
    'torch.onnx.export(m, (torch.zeros(1, 1, 16000),), {onnx!r}, dynamo=True)" with the shape '
    "that it reads; of weights alone, build the network and load them into it first"
)
KERAS = (
    "python -c \"import keras; keras.models.load_model({name!r}).export({onnx!r}, format='onnx')\""
)
TFLITE = "python -m tf2onnx.convert --tflite {name} --output {onnx}"
FROZEN = (
    "python -m tf2onnx.convert --graphdef {name} --inputs INPUT:0 --outputs OUTPUT:0 "
    "--output {onnx}"
)
SAVED = "python -m tf2onnx.convert --saved-model {name} --output {onnx}"
WEIGHTS = (
    "it holds weights alone: build the network, load them into it, and call torch.onnx.export(m, "
    "(x,), {onnx!r}, dynamo=True); of Hugging Face: optimum-cli export onnx --model FOLDER OUT"
)
# By the ending of the name: what the file is, and what makes an ONNX file of it.
FORMATS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), ("a PyTorch file", TORCH)),
    ".pt2": ("a program of torch.export", TORCH.replace("torch.load", "torch.export.load")),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), ("a Keras model", KERAS)),
    ".tflite": ("a TensorFlow Lite model", TFLITE),
    ".pb": ("a frozen TensorFlow graph", FROZEN),
    ".safetensors": ("a file of weights", WEIGHTS),
}
# By how the bytes begin, after a number of bytes that may be anything: the same.
STARTS = (
    (0, b"PK\x03\x04", FORMATS[".pt"]),
    (0, b"\x80\x02", FORMATS[".pt"]),
    (0, b"\x89HDF", FORMATS[".h5"]),
    (4, b"TFL3", FORMATS[".tflite"]),
    *(
        (0, start, ("a sound", "dftlrp explain MODEL.onnx {name}"))
        for start in (b"RIFF", b"fLaC", b"OggS", b"ID3", b"FORM")
    ),
)


def advise_export(path: Path, data: bytes = b"") -> str:
    """Return what a file is that is no ONNX model, and what to do; nothing where nobody knows."""
    if path.is_dir():
        known = ("a TensorFlow SavedModel", SAVED) if (path / "saved_model.pb").exists() else None
    else:
        begins = (what for at, start, what in STARTS if data[at:].startswith(start))
        known = FORMATS.get(path.suffix.lower()) or next(begins, None)
    if known is None:
        return ""
    what, command = known
    made = command.format(name=path.name, onnx=path.with_suffix(".onnx").name)
    return f": it looks like {what}: {made}"
