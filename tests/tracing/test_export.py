"""The exported file, alone: it reads the waveform, says what the reference says, and refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from graphs import NETWORKS, Nodes, loaded, normal, signals
from reference import explain
from traced import error

import dftlrp
from dftlrp import FrontEnd, InputError
from dftlrp.assets import MODELS, embedded
from dftlrp.cli import main
from dftlrp.tracing.export import export

LIMIT = 1e-4
ALL = ["time", "frequency", "time-frequency"]
ALONE = """
import sys
sys.modules["dftlrp"] = sys.modules["onnx"] = None  # an import of either fails
import numpy as np, onnxruntime
x, file, out = np.load(sys.argv[1]), sys.argv[2], sys.argv[3]
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
signal, target = session.get_inputs()
names = [o.name for o in session.get_outputs()]
shape = [n if isinstance(n, int) else 1 for n in signal.shape]
feed = {signal.name: x.astype(np.float32).reshape(shape), target.name: np.array([-1])}
np.savez(out, **dict(zip(names, session.run(None, feed))))
"""


def alone(file: Path, x: Any, packages: Path | None = None) -> Any:
    """What the file gives, in a process that knows onnxruntime and NumPy, or a folder, only."""
    np.save(file.with_name("x.npy"), x)
    arguments = [file.with_name("x.npy"), file, file.with_name("out.npz")]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c"]
    if packages is not None:
        env["PYTHONPATH"] = str(packages)
        command = [sys.executable, "-S", "-c"]  # without the packages that are installed
    subprocess.run([*command, ALONE, *arguments], check=True, cwd=file.parent, env=env)
    return np.load(file.with_name("out.npz"))


def told(file: Path) -> Any:
    """What the file says of itself."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return json.loads(session.get_modelmeta().custom_metadata_map["dftlrp"])


def agree(found: Any, want: dftlrp.Explanation) -> None:
    """In every domain the relevance is the reference's."""
    assert want.provenance["dtype"] == "float64"
    assert found["explained"].argmax() == want.target
    for domain, R in want.relevance.items():
        own = "relevance" if domain == "time" else f"relevance_{domain.replace('-', '_')}"
        assert found[own].size == R.size
        assert error(found[own].reshape(R.shape), R) < LIMIT
    if "input" in want.relevance:
        assert error(found["value_input"].reshape(R.shape), want.signal["input"]) < LIMIT


# -- the same numbers, without dftlrp


@pytest.mark.parametrize("preset", ["EpsilonPlus", "EpsilonAlpha2Beta1"])
@pytest.mark.parametrize("name", MODELS)
def test_embedded_models_explain_the_embedded_clip_alone(
    name: str, preset: str, tmp_path: Path
) -> None:
    file, model = tmp_path / "explained.onnx", dftlrp.load(embedded(name))
    domains = [*ALL, "input"] if "frontend" in model.graph.metadata else ALL
    export(model, file, composite=preset, domains=domains)
    want = explain(model, embedded("clip"), composite=preset, domains=domains)
    agree(alone(file, want.signal["time"]), want)


def link_packages(folder: Path, names: list[str]) -> None:
    """Put into a folder what pip would install there: packages, and all that these require."""
    for name in names:  # grows while it is walked
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of another system or another Python
            continue
        needed = (re.match(r"[\w.-]+", r) for r in found.requires or () if "extra ==" not in r)
        names += [one[0] for one in needed if one and one[0] not in names]
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top))


def test_onnxruntime_and_numpy_are_enough(tmp_path: Path) -> None:
    file = tmp_path / "explained.onnx"
    export(dftlrp.load(embedded("stft")), file, domains=[*ALL, "input"])
    want = explain(embedded("stft"), embedded("clip"), domains=[*ALL, "input"])
    (tmp_path / "bare").mkdir()
    link_packages(tmp_path / "bare", ["onnxruntime", "numpy"])
    assert not (tmp_path / "bare/onnx").exists()
    agree(alone(file, want.signal["time"], tmp_path / "bare"), want)


FRONT_ENDS = {
    "cepstrum of decibels": FrontEnd(
        8000, n_fft=256, hop=128, n_mels=32, log="db", top_db=80.0, n_mfcc=13
    ),
    "normalised log mel": FrontEnd(
        8000, n_fft=256, win_length=200, hop=80, n_mels=24, log="ln", amplitude="int16",
        normalise="utterance", center=False,
    ),
    "magnitude of mirrored frames": FrontEnd(
        8000, n_fft=256, hop=128, power=1.0, amplitude="peak", pad_mode="reflect",
        normalise="feature",
    ),
    "real and imaginary part": FrontEnd(
        8000, n_fft=128, hop=64, power=None, amplitude="rms", orthonormal=True,
        layout=("batch", "part", "frequency", "time"),
    ),
    "one DFT": FrontEnd(
        8000, transform="dft", samples=2000, power=1.0, log="log10", offset=1e-3,
        layout=("batch", 1, "frequency"),
    ),
}  # fmt: skip


def reader(fe: FrontEnd, samples: int) -> dftlrp.Model:
    """Two dense layers on all that the front end makes of so many samples."""
    known = {"batch": 1, 1: 1, "part": 2, "frequency": fe.features, "time": fe.frames(samples)}
    dims = [known[axis] for axis in fe.layout]
    n = Nodes()
    n.ints("flat", 1, int(np.prod(dims)))
    n.add("Reshape", "x flat", "f")
    n.gemm("f", "h", int(np.prod(dims)), 8)
    n.add("Relu", "h", "r")
    n.gemm("r", "z", 8, 3)
    return loaded(n.model({"x": dims}, {"z": [1, 3]}))


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_ends_are_in_the_file_and_silence_stays_silent(name: str, tmp_path: Path) -> None:
    fe, file = FRONT_ENDS[name], tmp_path / "explained.onnx"
    model = reader(fe, 2000).behind(fe)
    x = 0.1 * np.random.default_rng(1).standard_normal(
        next(iter(model.plan().signals.values())).dims[-1]
    )
    x[:700] = 0
    asked: dict[str, Any] = {"composite": "Epsilon", "domains": [*ALL, "input"]}
    export(model, file, **asked)
    want = explain(model, x, rate=8000.0, **asked)
    found = alone(file, x)
    agree(found, want)
    assert not found["relevance"].ravel()[:700].any()


# -- where a front end comes from


def read_by(file: Path) -> tuple[str, list[int]]:
    signal = onnxruntime.InferenceSession(file).get_inputs()[0]
    return signal.name, signal.shape


def test_a_front_end_is_given_or_beside_or_in_the_metadata(tmp_path: Path) -> None:
    fe, here = FRONT_ENDS["one DFT"], tmp_path / "explained.onnx"
    model = reader(fe, 2000)
    export(model, here)
    assert read_by(here) == ("x", [1, 1, 1001])
    export(model, here, frontend=fe)
    assert read_by(here) == ("waveform", [1, 2000])
    (tmp_path / "other.toml").write_text(fe.to_text())
    assert main(["export", "spectrum", "-o", str(here), "--domains", "input"]) == 0
    assert read_by(here) == ("waveform", ["batch", 8000])
    (tmp_path / "m.onnx").write_bytes(embedded("waveform").read_bytes())
    (tmp_path / "m.toml").write_text("[frontend]\nrate = 8000\nlayout = ['batch']\n")
    with pytest.raises(InputError, match="layout"):
        export(dftlrp.load(tmp_path / "m.onnx"), here)


def test_a_model_behind_a_front_end_gets_no_second_one(tmp_path: Path) -> None:
    model, fe = dftlrp.load(embedded("spectrum")), FRONT_ENDS["one DFT"]
    behind = model.behind(FrontEnd.from_text(model.graph.metadata["frontend"]))
    export(behind, tmp_path / "e.onnx")
    assert read_by(tmp_path / "e.onnx") == ("waveform", ["batch", 8000])
    assert explain(behind, embedded("clip")).label == "seven"
    with pytest.raises(InputError, match="behind a front end already"):
        export(behind, tmp_path / "e.onnx", frontend=fe)


def test_the_file_has_its_front_end_inside_and_asks_for_no_other(tmp_path: Path) -> None:
    file = tmp_path / "explained.onnx"
    export(dftlrp.load(embedded("stft")), file)
    assert list(told(file)["outputs"]) == [
        "output",
        "explained",
        "relevance",
        "multiplier",
        "change",
    ]
    own = dftlrp.load(embedded("stft")).graph.metadata["frontend"]
    assert FrontEnd.from_text(told(file)["front end"]) == FrontEnd.from_text(own)
    found = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert "frontend" not in found
    assert found["labels"]


def test_what_a_model_reads_itself_is_no_other_domain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'input': the model has no front end"):
        export(dftlrp.load(embedded("mel")), tmp_path / "e.onnx", domains=["input"])


# -- meaning, units and axes


@pytest.mark.parametrize("name", MODELS)
def test_places_along_the_axes_are_those_of_an_explanation(name: str, tmp_path: Path) -> None:
    file = tmp_path / "explained.onnx"
    export(dftlrp.load(embedded(name)), file, domains=ALL)
    says = told(file)
    outputs, want = says["outputs"], explain(embedded(name), embedded("clip"))
    session = onnxruntime.InferenceSession(file)
    shapes = {x.name: x.shape for x in (*session.get_inputs(), *session.get_outputs())}
    for each in (says["inputs"], outputs):
        for key, meant in each.items():
            assert meant["meaning"]
            assert meant["unit"]
            assert len(meant["axes"]) == len(shapes[key])
    for domain, own in zip(ALL, ["", "_frequency", "_time_frequency"], strict=True):
        axes = want.axes[domain] if isinstance(want.axes[domain], tuple) else (want.axes[domain],)
        meant = outputs[f"relevance{own}"]["axes"]
        assert meant[0] == {"name": "batch"}
        for axis, places in zip(meant[-len(axes) :], axes, strict=True):
            steps = axis["start"] + axis["step"] * np.arange(len(places))
            np.testing.assert_allclose(steps, places, atol=1e-9)
            assert axis["unit"] == {"time": "s", "frequency": "Hz"}[axis["name"]]


def test_axes_of_what_a_model_reads_follow_its_front_end(tmp_path: Path) -> None:
    file = tmp_path / "explained.onnx"
    for name, frequency, time in (
        ("real and imaginary part", {"unit": "Hz", "start": 0.0, "step": 62.5},
         {"unit": "s", "start": 0.0, "step": 0.008}),
        ("normalised log mel", {"name": "mel filter"}, {"unit": "s", "start": 0.016, "step": 0.01}),
        ("cepstrum of decibels", {"name": "cepstral coefficient"}, {"step": 0.016}),
        ("one DFT", {"unit": "Hz", "start": 0.0, "step": 4.0}, None),
    ):  # fmt: skip
        fe = FRONT_ENDS[name]
        export(reader(fe, 2000), file, domains=["input"], frontend=fe)
        names = list(told(file)["outputs"])
        assert names[2:-1] == ["relevance", "multiplier", "relevance_input", "value_input"]
        axes = told(file)["outputs"]["relevance_input"]["axes"]
        assert axes == told(file)["outputs"]["value_input"]["axes"]
        assert len(axes) == len(fe.layout)
        assert frequency.items() <= axes[fe.layout.index("frequency")].items()
        if time:
            assert time.items() <= axes[fe.layout.index("time")].items()


@pytest.mark.parametrize(
    ("shape", "rate", "domains", "axes"),
    [
        ([1, 60], 100.0, ["time"], ["batch", "time"]),
        ([1, 60], None, ["time"], ["batch", "axis 1"]),
        ([1, 60], None, ["frequency"], ["batch", "time"]),
        ([1, 2, 30], 100.0, ["time"], ["batch", "axis 1", "axis 2"]),
        ([1, 2, 30], 100.0, ["frequency"], ["batch", "channel", "time"]),
        ([60], 100.0, ["frequency"], ["time"]),
        ([60], None, ["time"], ["axis 0"]),
    ],
)
def test_axes_are_named_as_far_as_is_known(
    shape: list[int], rate: float | None, domains: list[str], axes: list[str], tmp_path: Path
) -> None:
    n, lead = Nodes(), [1] * (len(shape) > 1)
    n.ints("flat", 1, 60)
    n.add("Reshape", "x flat", "f")
    n.gemm("f", "g", 60, 3)
    n.ints("rows", *lead, 3)
    n.add("Reshape", "g rows", "z")
    model = replace(loaded(n.model({"x": shape}, {"z": [*lead, 3]})), rate=rate)
    export(model, tmp_path / "e.onnx", domains=domains)
    says = told(tmp_path / "e.onnx")
    assert [axis["name"] for axis in says["inputs"]["x"]["axes"]] == axes
    assert [axis["name"] for axis in says["outputs"]["relevance"]["axes"]] == axes
    ends = [axis["name"] for axis in says["outputs"]["explained"]["axes"]]
    assert ends == (["batch", "axis 1"] if lead else ["axis 0"])
    if domains == ["frequency"]:
        bins = says["outputs"]["relevance_frequency"]["axes"][-1]
        unit = "Hz" if rate else "cycles per sample"
        want = (unit, pytest.approx((rate or 1) / shape[-1]))
        assert (bins["unit"], bins["step"]) == want


# -- targets


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: Any) -> Any:
    """A session of a file that explains two samples of three classes, and what to feed it."""
    file, proto = tmp_path_factory.mktemp("stacked") / "e.onnx", NETWORKS["conv_stack"]()
    export(loaded(proto), file, batch=2)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(file, settings)
    return session, {"x": signals(proto, batch=2)["x"].astype(np.float32)}


def test_the_last_class_and_the_largest_are_targets(stacked: Any) -> None:
    session, feed = stacked
    (z,) = session.run(["explained"], {**feed, "target": np.array([-1, -1])})
    best = z.argmax(axis=1)
    asked = [np.array([-1, -1]), best, np.array([0, z.shape[1] - 1])]
    largest, same, other = (session.run(["relevance"], {**feed, "target": t})[0] for t in asked)
    np.testing.assert_array_equal(largest, same)
    assert all(other.any(axis=(1, 2)))


@pytest.mark.parametrize("target", [10, 11, -2, -3, -10, -11, -12, 2**62, -(2**62)])
def test_a_target_that_is_no_class_is_refused_by_onnxruntime(stacked: Any, target: int) -> None:
    session, feed = stacked
    classes = session.get_outputs()[0].shape[-1]
    target = target - 10 + classes if target in {10, 11} else target
    for both in ([target, 0], [0, target]):
        with pytest.raises(Exception, match="indices element out of data bounds"):
            session.run(None, {**feed, "target": np.array(both)})


@pytest.mark.parametrize("batch", ["any", 1])
def test_a_mask_of_a_layer_is_an_optional_input(tmp_path: Path, batch: Any) -> None:
    model, clip = dftlrp.load(embedded("waveform")), 0.1 * normal(1, 1, 8000)
    export(model, tmp_path / "e.onnx", batch=batch, masks=["conv6"], seed="logit",
           composite="EpsilonPlus")  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
    asked = {"waveform": clip.astype(np.float32), "target": np.array([3])}
    mask = np.zeros((1, 128, 1), np.float32)
    mask[:, [5, 77]] = 1
    own = {"target": 3, "composite": "EpsilonPlus", "backend": "numpy"}
    for given, masks in (({}, {}), ({"mask/conv6": mask}, {"conv6": mask})):
        (R,) = session.run(["relevance"], asked | given)
        assert error(R, dftlrp.attribute(model, clip, masks=masks, **own).relevance) < 1e-4
