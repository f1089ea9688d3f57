"""What is given for an ONNX model and is none is answered with what to do."""

from __future__ import annotations

import pytest

import dftlrp
from dftlrp.core.types import ModelError

ZIP = b"PK\x03\x04 whatever follows"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("net.pt", ZIP, "torch.onnx.export"),
        ("net.pth", b"\x80\x02", "torch.onnx.export"),
        ("net", ZIP, "torch.onnx.export"),
        ("net.keras", ZIP, "export('net.onnx', format='onnx')"),
        ("net.h5", b"\x89HDF\r\n", "keras.models.load_model('net.h5')"),
        ("net.tflite", b"\x1c\0\0\0TFL3", "tf2onnx.convert --tflite net.tflite --output net.onnx"),
        ("net", b"\x1c\0\0\0TFL3", "tf2onnx.convert --tflite net"),
        ("net.pb", b"\xff\xff", "tf2onnx.convert --graphdef net.pb"),
        ("net.safetensors", b"\xff\xff{}", "holds weights alone"),
        ("a.wav", b"RIFF\xff\xff\xff\xffWAVE", "dftlrp explain MODEL.onnx a.wav"),
        ("net.onnx", b"\xff\xff", "truncated one"),
    ],
)
def test_another_file_is_answered_with_what_makes_an_onnx_file_of_it(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError) as error:
        dftlrp.load(tmp_path / name)
    assert said in str(error.value)
    assert "not an ONNX" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_of_tensorflow_is_answered_too(tmp_path):
    with pytest.raises(ModelError, match=r"is a folder$"):
        dftlrp.load(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match=r"is a folder: it looks like a TensorFlow SavedModel: .*"):
        dftlrp.load(tmp_path)
