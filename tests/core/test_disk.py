"""The lock of a folder, and a run where a system lacks what Unix has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from dataset import folder

from dftlrp.core.disk import lock_folder
from dftlrp.core.types import InputError

# Python runs sitecustomize.py as it starts, so that worker processes lack these names, too.
ELSEWHERE = """
import os, sys
for name in ("fcntl", "msvcrt", "resource", "pwd", "grp"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "O_DIRECTORY", "O_NONBLOCK", "O_NOFOLLOW"):
    delattr(os, name)
"""
PROGRAM = """
import os, pkgutil, sys
import dftlrp, dftlrp.concepts
from dftlrp.concepts import neurons
from dftlrp.core.disk import lock_folder
from dftlrp.core.types import InputError

if __name__ == "__main__":
    for module in pkgutil.walk_packages(dftlrp.__path__, "dftlrp."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
    assert sys.modules["fcntl"] is None and not hasattr(os, "sched_getaffinity")
    found = neurons("m.onnx", "data", layer="conv2", folder="out", top=1, count=1, workers=2)
    assert found.save("out")[0].is_file() and not found.failures
    with lock_folder(found.save("out")[0].parent):
        try:
            found.save("out")
        except InputError as error:
            print(error)
"""


def test_neurons_runs_where_unix_is_not(tmp_path):
    folder(tmp_path, takes=1)
    (tmp_path / "sitecustomize.py").write_text(ELSEWHERE)
    (tmp_path / "program.py").write_text(PROGRAM)
    made = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert made.stderr == ""
    assert "out: another run is writing here" in made.stdout


def test_a_lock_leaves_an_empty_file_and_ends_with_its_block(tmp_path):
    for _ in range(2):
        with lock_folder(tmp_path / "new"):
            assert [(p.name, p.stat().st_size) for p in (tmp_path / "new").iterdir()] == [
                (".lock", 0)
            ]


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from dftlrp.core.disk import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])):\n    print('locked', flush=True)\n    time.sleep(99)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "locked\n"
    with pytest.raises(InputError, match="another run"), lock_folder(tmp_path):
        pass
    child.kill()
    child.communicate()
    with lock_folder(tmp_path):
        pass


def test_a_lock_that_cannot_be_taken_says_why(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(InputError, match=r"cannot lock \.lock"), lock_folder(tmp_path):
        pass
