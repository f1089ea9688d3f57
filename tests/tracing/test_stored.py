"""Graphs kept in a folder: the numbers are those of a trace, never those of another question."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from onnx import TensorProto, helper

import dftlrp
from dftlrp.cli import main
from dftlrp.core.encoding import encode
from dftlrp.core.rules import FUNCTIONS
from dftlrp.core.types import CacheWarning
from dftlrp.tracing import stored
from dftlrp.tracing.finder import Prepared
from dftlrp.tracing.stored import SWITCH

X = graphs.normal(1, 2, 24)
ANOTHER_PROCESS = """
import sys, dftlrp, numpy as np
x = np.random.default_rng(0).normal(size=(1, 1, 8000))
found = dftlrp.attribute("waveform", x, backend="onnx")
sys.stdout.write(found.relevance.tobytes().hex() + repr(found.ledger.gap))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SWITCH, str(tmp_path / "graphs"))
    return tmp_path / "graphs"


def network(seed: int) -> dftlrp.Model:
    """A small network for signals of any length, loaded just now, as a new process loads it."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["y"]),
    ]
    w, b, v = (graphs.normal(*n, seed=seed).astype("f4") for n in ((6, 2, 5), (6,), (6, 3)))
    return graphs.network(
        nodes, {"x": [None, 2, None]}, {"y": [None, 3]}, {"w": w, "b": b, "v": v},
        dtype=TensorProto.FLOAT,
    )  # fmt: skip


def explained(x: Any = X, weights: int = 0, **asked: Any) -> tuple[bytes, str, str]:
    """Return numbers, and what they were made by, in a form that can be compared."""
    found = dftlrp.attribute(network(weights), x, backend="onnx", **asked)
    return found.relevance.tobytes(), str(found.ledger), str(found)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


ASKED = [
    {}, {"composite": "EpsilonPlus"}, {"composite": "AttnLRP"}, {"overrides": {"first": "flat"}},
    {"reference": "silence"}, {"reference": X[:, :, ::-1]}, {"target": lambda z: z * z},
    {"ledger": False}, {"seed": "one"}, {"x": np.repeat(X, 5, 0)}, {"x": X[..., :20]},
    {"weights": 1},
]  # fmt: skip


def test_a_graph_that_was_kept_gives_the_same_bits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SWITCH)
    plain = [explained(**asked) for asked in ASKED]
    monkeypatch.setenv(SWITCH, str(folder))
    assert [explained(**asked) for asked in ASKED] == plain
    monkeypatch.setattr(Prepared, "_trace", lambda *_: pytest.fail("traced again"))
    assert [explained(**asked) for asked in ASKED] == plain


def test_every_other_question_is_another_entry(folder: Path) -> None:
    for number, asked in enumerate(ASKED):
        explained(**asked)
        assert len(entries(folder)) > number, asked
        before = len(entries(folder))
        explained(**asked)
        assert len(entries(folder)) == before


def test_other_code_or_versions_are_another_entry(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained()
    monkeypatch.setattr(stored, "_identify_code", lambda: ("another",))
    explained()
    assert len(entries(folder)) == 2


def test_two_processes_write_at_once_and_a_third_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ.copy()) for _ in range(2)
    ]
    said = {process.communicate()[0].decode() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert [path.suffix for path in entries(folder)] == [stored.SUFFIX]
    monkeypatch.setattr(Prepared, "_trace", lambda *_: pytest.fail("traced again"))
    x = np.random.default_rng(0).normal(size=(1, 1, 8000))
    here = dftlrp.attribute("waveform", x, backend="onnx")
    assert said == {here.relevance.tobytes().hex() + repr(here.ledger.gap)}


def test_the_graph_of_another_model_under_its_name_is_not_taken(folder: Path) -> None:
    explained(weights=1)
    (other,) = entries(folder)
    data = other.read_bytes()
    want = explained()
    (path,) = set(entries(folder)) - {other}
    path.write_bytes(data)
    with pytest.warns(CacheWarning, match="damaged"):
        assert explained() == want


def test_the_folder_of_nobody_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "~nobody-of-that-name/graphs")
    with pytest.warns(CacheWarning, match=r"^DFTLRP_CACHE=~nobody-[^\n]*no such home folder"):
        explained()


FOREIGN = encode([1, 2])


@pytest.mark.parametrize(
    "damage",
    [b"", b"short", "cut", "flipped", hashlib.sha256(FOREIGN).digest() + FOREIGN],
    ids=["empty", "short", "cut", "flipped", "foreign"],
)
def test_a_damaged_entry_is_made_again_with_a_warning(folder: Path, damage: bytes | str) -> None:
    want = explained()
    (path,) = entries(folder)
    whole = path.read_bytes()
    flipped = bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]])
    broken = {"cut": whole[:-100], "flipped": flipped}
    path.write_bytes(broken[damage] if isinstance(damage, str) else damage)
    with pytest.warns(CacheWarning, match="damaged"):
        assert explained() == want
    assert entries(folder) == [path]
    assert path.read_bytes() == whole


def test_the_entry_whose_use_is_longest_ago_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained(x=X[..., :20])
    (first,) = entries(folder)
    explained(x=X[..., :22])
    (second,) = set(entries(folder)) - {first}
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    explained(x=X[..., :20])  # now the second one's use is longest ago
    monkeypatch.setattr(stored, "MOST_BYTES", first.stat().st_size * 5 // 2)
    explained(x=X[..., :24])
    assert first in entries(folder)
    assert second not in entries(folder)
    assert len(entries(folder)) == 2


def test_a_folder_that_cannot_be_written_costs_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("a file")
    with pytest.warns(CacheWarning, match=f"^{SWITCH}=.*graphs: cannot ") as told:
        found = explained()
    assert all("\n" not in str(w.message) for w in told)
    monkeypatch.delenv(SWITCH)
    assert explained() == found
    monkeypatch.setenv(SWITCH, str(folder))
    assert main(["explain", "--out", str(folder.with_name("out")), "--no-isolate"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if SWITCH in line]
    assert [line.startswith("dftlrp: warning: ") for line in lines] == [True]


def test_nothing_is_kept_where_a_rule_comes_from_outside(folder, monkeypatch):
    def share_alike(c):
        return FUNCTIONS["flat"](c)

    monkeypatch.setitem(FUNCTIONS, "outside", share_alike)
    dftlrp.attribute(network(1), X, backend="onnx")
    assert not folder.exists()
