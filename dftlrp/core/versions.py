"""Versions of dftlrp and of the packages that it computes with, as results keep them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version


@cache
def find_version(package: str) -> str:
    """Return the version of a package that can be imported.

    onnxruntime comes in several distributions (``onnxruntime-gpu``), one of which is installed:
    where none has the package's own name, the package itself says its version.  Each is read once:
    that takes longer than a small forward pass.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return str(import_module(package).__version__)


def find_versions(*packages: str) -> dict[str, str]:
    """Return versions by package."""
    return {package: find_version(package) for package in packages}
