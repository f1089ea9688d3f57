"""What a recording is compared with: silence, noise, other recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dftlrp
from dftlrp.attribution.references import DRAWS, draw_noise, find_references
from dftlrp.cli import main
from dftlrp.core.types import InputError
from dftlrp.tracing import finder

CLIP, MEL = dftlrp.embedded("clip"), dftlrp.embedded("mel")


def other(seed: int = 1) -> Any:
    return 0.1 * np.random.default_rng(seed).standard_normal(8000)


def explain(reference: Any, **asked: Any) -> Any:
    return dftlrp.explain(MEL, CLIP, reference=reference, composite="EpsilonGamma", **asked)


def sum_up(e: Any, domain: str) -> float:
    return float(e.relevance[domain].sum()) + e.rest[domain]


def test_noise_has_the_recordings_spectrum_and_other_phases() -> None:
    x = other()
    noise = draw_noise(x, 0)
    np.testing.assert_allclose(np.abs(np.fft.rfft(noise)), np.abs(np.fft.rfft(x)), rtol=1e-9)
    assert abs(np.corrcoef(noise, x)[0, 1]) < 0.2
    assert not np.array_equal(noise, draw_noise(x, 1))


def test_every_domain_holds_the_difference_and_shows_the_recording() -> None:
    plain, e = explain("none"), explain(other())
    sums = [sum_up(e, d) for d in e.relevance]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-6)
    for domain, signal in e.signal.items():
        np.testing.assert_array_equal(signal, plain.signal[domain])
    assert e.provenance["reference"] == "another signal"
    model = dftlrp.load(MEL)
    score = e.asked["waveform"].score
    change = score(np.stack([e.signal["time"], other()]))
    lost = sum(float(e.ledger.absorbed(t).sum()) for t in ("stabiliser", "stopped", "reference"))
    assert model.path
    assert sums[0] + lost == pytest.approx(change[0] - change[1], rel=1e-3)


def test_several_references_give_the_mean_of_the_explanations_by_one_graph(
    monkeypatch: Any,
) -> None:
    one, two = (explain(r) for r in (other(1), other(2)))
    traced, trace = [], finder.trace
    monkeypatch.setattr(finder, "trace", lambda *a: traced.append(a) or trace(*a))
    both = explain([other(1), other(2)])
    assert len(traced) == 1
    for domain, R in both.relevance.items():
        mean = (one.relevance[domain] + two.relevance[domain]) / 2
        np.testing.assert_allclose(R, mean, rtol=1e-6)
    assert both.ledger.gap <= 1e-6


def test_the_mean_of_recordings_is_one_reference() -> None:
    x = np.zeros(8000)
    found = find_references(["mean", other(1), other(2)], x, np.asarray)
    assert found is not None
    np.testing.assert_allclose(found.points, [(other(1) + other(2)) / 2])
    noise = find_references("noise", other(), np.asarray)
    assert noise is not None
    assert len(noise.points) == DRAWS
    assert find_references("none", x, np.asarray) is None


@pytest.mark.parametrize(
    ("reference", "match"),
    [
        (np.zeros(9000), "must be aligned"),
        ("no such file.wav", "reference: .*no such file"),
        (["mean"], "needs recordings"),
        (["none", "silence"], "stands alone"),
        (np.full(8000, np.nan), "reference: .*nan"),
        (CLIP, "is the recording itself"),
    ],
)
def test_what_is_no_reference_is_refused_in_one_line(reference: Any, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        explain(reference)
    assert "\n" not in str(caught.value)


def test_methods_that_compare_take_the_reference_and_others_refuse_it() -> None:
    e = explain(other(), method="lrp(path=2)")
    assert e.provenance["reference"] == "another signal"
    with pytest.raises(InputError, match="compares with nothing"):
        dftlrp.explain(MEL, CLIP, method="smoothgrad", reference="silence")


def test_the_command_line_takes_a_reference(tmp_path, capsys) -> None:
    asked = ["explain", "--model", "mel", "--reference", "silence", "--out", str(tmp_path)]
    assert main(asked) == 0
    assert "compared with silence" in capsys.readouterr().out
    assert (tmp_path / "report.html").exists()
    assert main(["explain", "--reference", "quiet", "--out", str(tmp_path)]) == 2
    assert "reference: " in capsys.readouterr().err
