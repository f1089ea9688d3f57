"""What `dftlrp info` says of an installation, of one in which something is broken, too."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path

import pytest

import dftlrp
from dftlrp.cli import main
from dftlrp.core.versions import find_version
from dftlrp.frameworks import installation, probes

BROKEN = {
    "aborting": "import os\nos.abort()",
    "exiting": "raise SystemExit(0)",
    "lacking": "import dftlrp_lacks_this",
    "printing": "import os\nos.write(1, b'\\xff{}')\nraise RuntimeError(f'in {__file__}')",
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Backends of which only NumPy's works, in the home folder of a user called alice."""
    home = tmp_path / "alice"
    (home / "peers").mkdir(parents=True)
    points = [EntryPoint("numpy", "dftlrp.core.numpy_backend:BACKEND", "dftlrp.backends")]
    for name, code in BROKEN.items():
        (home / f"peers/peer_{name}.py").write_text(code, "utf-8")
        points.append(EntryPoint(name, f"peer_{name}:BACKEND", "dftlrp.backends"))
    folder = home / "peers/broken_peers-1.dist-info"
    folder.mkdir()
    listed = "".join(f"{p.name} = {p.value}\n" for p in points[1:])
    (folder / "entry_points.txt").write_text(f"[dftlrp.backends]\n{listed}", "utf-8")
    (folder / "METADATA").write_text("Name: broken-peers\nVersion: 1\n", "utf-8")
    monkeypatch.syspath_prepend(str(home / "peers"))
    monkeypatch.setattr(installation, "entry_points", lambda group: points)
    for name, value in {"HOME": str(home), "USERPROFILE": str(home), "LOGNAME": "alice"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DFTLRP_CACHE", str(home / "graphs"))
    monkeypatch.setenv("DFTLRP_SOMETHING", "/scratch/alice/x")
    monkeypatch.delenv("DFTLRP_ISOLATE", raising=False)
    return home


def test_a_broken_peer_is_a_line_and_nobody_is_named(broken, capsys):
    assert main(["info", "--json"]) == 0
    out = capsys.readouterr().out
    assert "alice" not in out
    said = json.loads(out)
    tried = {name: (found["ok"], found["text"]) for name, found in said["backends"].items()}
    assert tried == {
        "numpy": (True, "works"),
        "aborting": (False, "ended its process (SIGABRT)"),
        "exiting": (False, "SystemExit: 0"),
        "lacking": (False, "ModuleNotFoundError: No module named 'dftlrp_lacks_this'"),
        "printing": (False, "RuntimeError: in ~/peers/peer_printing.py"),
    }
    assert all(said[name]["ok"] for name in installation.OTHERS)
    assert "cpu" in said["providers"]["text"].split(", ")
    variables = {"DFTLRP_CACHE": "~/graphs", "DFTLRP_SOMETHING": "/scratch/USER/x"}
    assert variables.items() <= said["environment"].items()
    assert "DFTLRP_ISOLATE" not in said["environment"]
    for package in ("numpy", "onnx", "onnxruntime"):
        assert said["packages"][package] == find_version(package)
    assert said["packages"].keys().isdisjoint(said["extras"]["torch"])
    documented = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text("utf-8")
    assert all(f"`{key}`" in documented for key in said)


def test_a_peer_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(probes, "SECONDS", 0.2)
    assert probes.run_probes([("font",)]) == [(False, "takes more than 0.2 s")]


def test_as_text_it_has_a_line_for_each(monkeypatch, capsys):
    monkeypatch.setattr(
        installation, "run_probes", lambda asked: [probes.Answer(True, "fine")] * len(asked)
    )
    monkeypatch.setattr(installation, "_find_installed", {"numpy": "2.0", "torch": "3.0"}.get)
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"dftlrp {dftlrp.__version__}, Python 3.")
    told = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    assert "numpy 2.0" in told["packages"]
    assert "scipy is missing" in told["packages"]
    assert told["extra torch"] == "onnxscript is missing, torch 3.0"
    assert "jax" in told["extras of which nothing is installed"].split(", ")
    assert told["backend numpy"] == told["font of figures"] == "fine"


def test_a_runtime_of_another_name_has_a_version(monkeypatch):
    import onnxruntime

    def version(name: str) -> str:
        if name == "onnxruntime-gpu":
            return "1.99"
        raise PackageNotFoundError(name)

    find_version.cache_clear()
    with monkeypatch.context() as m:
        m.setattr("dftlrp.core.versions.version", version)
        assert find_version("onnxruntime") == onnxruntime.__version__
        assert find_version("dftlrp") == dftlrp.__version__
    find_version.cache_clear()
    monkeypatch.setattr(installation, "version", version)
    assert installation._find_installed("onnxruntime") == "1.99 (onnxruntime-gpu)"
    assert installation._find_installed("numpy") is None
