"""What is installed here and works: the text that a report of a fault begins with.

It names neither the user nor a folder of theirs, so that it can be shown to anybody.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import Any

from dftlrp.core.text import make_printable
from dftlrp.core.versions import find_version
from dftlrp.frameworks.probes import Answer, run_probes
from dftlrp.tracing.runtime import ISOLATE, count_cores

OTHER_NAMES = {  # distributions of the same package
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"),
}
REQUIREMENT = re.compile(r"([\w.-]+)[^;]*(?:;.*\bextra == ['\"]([\w.-]+)['\"])?")
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
OTHERS = ("providers", "sound", "font")  # what is tried beside the backends
Versions = dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What `describe_installation` returns.

    Attributes
    ----------
    python, system, processor : str
        Version and kind of Python; operating system; processor.
    cores, cores_there : int
        How many cores this process may use, of how many.
    memory : int or None
        Bytes of memory that this process may use, where the system says it.
    packages : dict of str to (str or None)
        Versions of what dftlrp needs; None where a package is missing.
    extras : dict of str to dict
        The same by the name of each extra.
    backends : dict of str to Answer
        By name, whether each backend explains a small network.
    providers, sound, font : Answer
        Execution providers of onnxruntime; the library that reads sound; the font of figures.
    environment : dict of str to str
        Variables that are set and that dftlrp reads.
    """

    python: str
    system: str
    processor: str
    cores: int
    cores_there: int
    memory: int | None
    packages: Versions
    extras: dict[str, Versions]
    backends: dict[str, Answer]
    providers: Answer
    sound: Answer
    font: Answer
    environment: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        backends = {name: answer._asdict() for name, answer in self.backends.items()}
        others = {name: getattr(self, name)._asdict() for name in OTHERS}
        return {**asdict(self), "backends": backends, **others}

    def __str__(self) -> str:
        return "\n".join(_write_rows(self))


def describe_installation() -> Installation:
    """Return versions, extras, backends, execution providers, font, machine and variables.

    Nothing that is broken makes it fail: each backend is tried in a process of its own, and what
    goes wrong there is a line of the answer.
    """
    packages, extras = _find_requirements()
    backends = sorted({point.name for point in entry_points(group="dftlrp.backends")})
    asked = [*(("backend", name) for name in backends), *((name,) for name in OTHERS)]
    private = _Private()
    tried = [Answer(ok, private.hide(text)) for ok, text in run_probes(asked)]
    return Installation(
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        system=platform.platform(),
        processor=_name_processor(),
        cores=count_cores(),
        cores_there=os.cpu_count() or count_cores(),
        memory=_measure_memory(),
        packages=packages,
        extras=extras,
        backends=dict(zip(backends, tried, strict=False)),
        **dict(zip(OTHERS, tried[len(backends) :], strict=True)),
        environment={k: private.hide(v) for k, v in sorted(_list_variables(os.environ))},
    )


def _find_requirements() -> tuple[Versions, dict[str, Versions]]:
    """Return what is installed of what dftlrp needs, and of what each extra does."""
    packages, extras = Versions(), defaultdict[str, Versions](dict)
    for name, extra in _read_requirements():
        (extras[extra] if extra else packages)[name] = _find_installed(name)
    return packages, dict(sorted(extras.items()))


def _read_requirements() -> Iterator[tuple[str, str | None]]:
    """Yield the name of each requirement of dftlrp, and its extra."""
    with contextlib.suppress(PackageNotFoundError):  # it runs from a folder, not installed
        for text in requires("dftlrp") or ():
            if found := REQUIREMENT.fullmatch(text):
                yield found[1], found[2]


def _find_installed(package: str) -> str | None:
    """Return the version of a package, and of which distribution if it is not the usual one.

    Two distributions of one package overwrite each other's files, so that both are named.
    """
    found = list[str]()
    for name in (package, *OTHER_NAMES.get(package, ())):
        with contextlib.suppress(PackageNotFoundError, KeyError):  # KeyError: it says no version
            found.append(version(name) + (f" ({name})" if name != package else ""))
    return " and ".join(found) or None


def _name_processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return make_printable(line.partition(":")[2].strip())
    return platform.processor() or platform.machine()


def _measure_memory() -> int | None:
    """Return the bytes of memory that this process may use: a container may have less."""
    found = list[int]()
    with contextlib.suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in LIMITS:
        with contextlib.suppress(ValueError, OSError):
            found.append(int(Path(path).read_text("ascii")))
    return min((n for n in found if n > 0), default=None)


def _list_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that dftlrp reads, but for the one that every command sets itself."""
    for name, value in environment.items():
        own = name.startswith("DFTLRP_") or name == "OMP_NUM_THREADS"
        if own and (name, value) != (ISOLATE, "1"):
            yield name, value


class _Private:
    """What is not to be told: the folder of a user, and the user's name in other paths."""

    def __init__(self) -> None:
        home = os.path.expanduser("~")
        folders = {home, os.path.realpath(home), Path(home).as_posix()} - {"~", "/", ""}
        self.home = _match_any(sorted(folders, key=len, reverse=True))
        self.user = _match_any([])
        with contextlib.suppress(Exception):  # the system need not know the user
            self.user = _match_any([getpass.getuser()], before=r"(?<=[/\\])")

    def hide(self, text: str) -> str:
        """Return text in one line in which the home folder is ``~`` and the user ``USER``."""
        return make_printable(" ".join(self.user.sub("USER", self.home.sub("~", text)).split()))


def _match_any(words: list[str], before: str = "") -> re.Pattern[str]:
    """Return a pattern of whole words, or of nothing if there are none."""
    known = "|".join(map(re.escape, words))
    return re.compile(rf"{before}(?:{known})(?![\w-])" if known else r"(?!)")


# -- as text


def _write_rows(found: Installation) -> Iterator[str]:
    yield f"dftlrp {find_version('dftlrp')}, Python {found.python}"
    yield f"system: {found.system}"
    memory = f", {found.memory / 2**30:.1f} GiB of memory" if found.memory else ""
    yield f"machine: {found.processor}, {found.cores} of {found.cores_there} cores{memory}"
    yield f"packages: {_write_versions(found.packages) or 'dftlrp itself is not installed'}"
    for name, versions in found.extras.items():
        if any(versions.values()):
            yield f"extra {name}: {_write_versions(versions)}"
    if none := [name for name, versions in found.extras.items() if not any(versions.values())]:
        yield f"extras of which nothing is installed: {', '.join(none)}"
    for name, answer in found.backends.items():
        yield f"backend {name}: {answer.text}"
    yield f"providers of onnxruntime: {found.providers.text}"
    yield f"sound: {found.sound.text}"
    yield f"font of figures: {found.font.text}"
    for name, value in found.environment.items():
        yield f"{name}={value}"


def _write_versions(versions: Versions) -> str:
    return ", ".join(f"{name} {found or 'is missing'}" for name, found in versions.items())
