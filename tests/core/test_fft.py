"""Orthonormal transforms of real signals: SciPy's numbers, without its import in float64."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import fft as scipy_fft

from dftlrp.core import fft

LATE = "matplotlib", "scipy.signal", "scipy.fft", "jinja2", "onnx.reference"
EXPLAIN = f"""
import sys, dftlrp
dftlrp.explain("mel", dftlrp.embedded("clip"))
sys.exit(" ".join(sorted(sys.modules.keys() & {set(LATE)})) or 0)
"""


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 200, 257, 512, 5699])
@pytest.mark.parametrize(("dtype", "off"), [(np.float32, 1e-6), (np.float64, 1e-15)])
def test_transforms_are_those_of_scipy(n: int, dtype: type, off: float) -> None:
    x = np.random.default_rng(n).normal(size=(3, 5, n)).astype(dtype)
    y = scipy_fft.rfft(x, norm="ortho")
    ours = fft.rfft(x), fft.ihfft(x), fft.irfft(y, n)
    theirs = y, scipy_fft.ihfft(x, norm="ortho"), scipy_fft.irfft(y, n, norm="ortho")
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=off * np.abs(b).max())


def test_an_explanation_imports_no_library_that_it_does_not_need() -> None:
    command = [sys.executable, "-c", EXPLAIN]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
