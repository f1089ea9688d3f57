"""Small experiments, each in a process of its own: what is broken ends that process and no other.

``python -m dftlrp.frameworks.probes backend torch`` prints one line, a JSON object with the keys
``ok`` and ``text``: whether it worked, and what was found or why nothing was.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dftlrp.core.backend import get_backend
from dftlrp.core.types import DftlrpError
from dftlrp.tracing.runtime import make_environment, name_end

SECONDS = 60.0  # that all experiments together may take
LIMIT = 1e-3  # of the ledger's gap; single precision closes to 1e-6


class Answer(NamedTuple):
    """What an experiment found.

    Attributes
    ----------
    ok : bool
        Whether it worked.
    text : str
        What was found, or one line on what went wrong.
    """

    ok: bool
    text: str


def run_probes(asked: Sequence[tuple[str, ...]]) -> list[Answer]:
    """Return the answers to experiments, which run side by side.

    Parameters
    ----------
    asked : sequence of tuple of str
        Of each a name of `PROBES`, and what that is about.
    """
    end = time.monotonic() + SECONDS
    started = [_start_probe(words) for words in asked]
    try:
        return [_read_answer(process, end) for process in started]
    finally:  # interrupted
        for process in started:
            if not isinstance(process, str):
                process.kill()


def _start_probe(words: Sequence[str]) -> subprocess.Popen[bytes] | str:
    """Return a process, or why there is none."""
    command = [sys.executable, "-m", "dftlrp.frameworks.probes", *words]
    none, pipe, env = subprocess.DEVNULL, subprocess.PIPE, make_environment()
    try:
        return subprocess.Popen(command, stdin=none, stdout=pipe, stderr=none, env=env)
    except OSError as error:
        return f"no process for it: {error.strerror or error}"


def _read_answer(process: subprocess.Popen[bytes] | str, end: float) -> Answer:
    if isinstance(process, str):
        return Answer(False, process)
    with process:
        try:
            out, _ = process.communicate(timeout=max(end - time.monotonic(), 0.1))
            return Answer(**json.loads(out.splitlines()[-1]))  # others may have printed before
        except subprocess.TimeoutExpired:
            process.kill()
            return Answer(False, f"takes more than {SECONDS:g} s")
        except (ValueError, TypeError, IndexError):
            return Answer(False, f"ended its process ({name_end(process.wait())})")


# -- the experiments


def _try_backend(name: str) -> str:
    """Let a backend explain a small network."""
    backend = get_backend(name)  # what cannot be imported need not wait for more

    from dftlrp.attribution.attribute import attribute
    from dftlrp.frameworks.testing.networks import make_convolutions

    model, x = make_convolutions()
    gap = attribute(model, x, target=0, backend=backend).ledger.gap
    if not gap < LIMIT:
        raise ArithmeticError(f"explains wrongly: relevance is lost (gap {gap:.1g})")
    return "works"


def _list_providers() -> str:
    import onnxruntime

    from dftlrp.tracing.providers import shorten_provider

    return ", ".join(map(shorten_provider, onnxruntime.get_available_providers()))


def _name_sound_library() -> str:
    import soundfile  # type: ignore[import-untyped]

    return f"libsndfile {soundfile.__libsndfile_version__}"


def _find_font() -> str:
    """Return the name of the font that figures are written in."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return str(get_font(findfont(FontProperties())).family_name)


PROBES: dict[str, Callable[..., str]] = {
    "backend": _try_backend,
    "providers": _list_providers,
    "sound": _name_sound_library,
    "font": _find_font,
}


def main(words: Sequence[str]) -> None:
    """Make an experiment and print its answer in a line."""
    try:
        answer = Answer(True, PROBES[words[0]](*words[1:]))
    except DftlrpError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        answer = Answer(False, f"{error}{cause}")
    except BaseException as error:  # an import may raise anything, and end the program
        answer = Answer(False, f"{type(error).__name__}: {error}")
    with contextlib.suppress(BrokenPipeError):
        print("\n" + json.dumps(answer._asdict()), flush=True)  # noqa: T201
    os._exit(0)  # what is broken may hang when it is taken down


if __name__ == "__main__":
    main(sys.argv[1:])
