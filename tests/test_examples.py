"""The examples run, and what they show is true."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import reference
import soundfile
from browser import browser
from needed import absent, needed
from reference import explain
from traced import error

import dftlrp
from dftlrp.spectral import stft_for
from dftlrp.tracing.export import export

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    return int(module.main())


# -- synthetic_tones


@pytest.fixture(scope="module")
def tones() -> ModuleType:
    return example("synthetic_tones")


@pytest.fixture(scope="module", params=[0.01, 0.8], ids=lambda noise: f"noise {noise}")
def result(request, tones):
    return tones.run_study(tones.Setup(noise=request.param, samples=640, steps=800, tested=150))


@pytest.fixture(scope="module")
def rows(result):
    return {row.name: row for row in result.rows}


def test_the_network_learns_the_tones(result):
    assert result.accuracy > 0.98


def test_relevance_is_conserved_from_the_logits_to_every_domain(result):
    assert result.gap < 1e-12
    assert result.error < 1e-12
    assert 0.9 < result.arrived < 1.1


def test_the_right_frequencies_are_found(rows):
    found, amplitude = rows["epsilon, contrast"], rows["*amplitude*"]
    assert found.rra > 0.9
    assert found.rma > 0.7
    assert rows["against silence, contrast"].rra > 0.9
    assert found.rra > 5 * amplitude.rra
    assert found.rma > 5 * amplitude.rma
    assert rows["epsilon, logit"].rra > 5 * amplitude.rra
    assert rows["*random*"].rra < 0.1


def test_relevance_is_spread_in_time_and_sits_in_frequency(rows):
    for name in ("epsilon, logit", "epsilon, contrast"):
        assert rows[name].time_spread > 0.4
        assert rows[name].frequency_spread < 0.1


def test_zplus_finds_something_in_every_loud_tone(rows):
    assert rows["zplus, contrast"].rma < 0.5 * rows["epsilon, contrast"].rma


def test_only_the_contrast_is_free_of_the_logits_common_offset(rows):
    same = rows["epsilon, contrast, other offset"][2:]
    assert same == pytest.approx(rows["epsilon, contrast"][2:], abs=1e-3)
    assert rows["epsilon, logit, other offset"][2:] != pytest.approx(
        rows["epsilon, logit"][2:], abs=1e-3
    )


def test_epsilon_plus_is_epsilon_where_there_is_no_convolution(result):
    assert result.plus == 0


def test_the_figure_shows_a_recognised_signal_with_two_decisive_tones(tones, result, tmp_path):
    which = tones.choose_signal(result)
    assert result.signals.decisive[which].sum() == 2
    figure = tones.draw(result.signals, result.explained, which)
    tones.figure.save_figure(figure, tmp_path / "tones.png")
    assert (tmp_path / "tones.png").stat().st_size > 10_000
    sums = [axes.get_title(loc="left").rpartition(" ")[2] for axes in figure.axes[3:]]
    assert len(set(sums)) == 1


def test_the_signals_are_what_the_docstring_says(tones):
    signals = tones.make_signals(np.random.default_rng(0), 200, tones.Setup(noise=0.0, samples=256))
    amplitude = np.abs(np.fft.rfft(signals.x)) / 128
    np.testing.assert_allclose(amplitude[:, 1:64], signals.tones, atol=1e-4)
    assert set(signals.tones.sum(axis=1)) <= set(range(10, 50))
    for label, row in zip(signals.label, signals.tones, strict=True):
        present = [str(k) for k in (5, 16, 32, 53) if row[k - 1]]
        assert tones.LABELS[label] == (" + ".join(present) or "none")


def test_the_gradient_is_the_slope_of_the_loss(tones):
    rng, setup = np.random.default_rng(0), tones.Setup(samples=128)
    signals = tones.make_signals(rng, 20, setup)
    net = [p.astype(float) for p in tones.make_net(rng, (128, 7, 5, 16))]
    net[1][:], net[3][:] = rng.random(7), rng.random(5)
    signals = signals._replace(x=signals.x.astype(float))

    def loss(moved: Any) -> float:
        z = tones.run_net(moved, signals.x)[-1]
        return float(np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(20), signals.label]))

    way = [rng.standard_normal(p.shape) for p in net]
    ahead, behind = ([p + s * w for p, w in zip(net, way, strict=True)] for s in (1e-6, -1e-6))
    slope = sum(
        (g * w).sum() for g, w in zip(tones.compute_gradients(net, signals), way, strict=True)
    )
    assert slope == pytest.approx((loss(ahead) - loss(behind)) / 2e-6, rel=1e-5)


def test_the_exported_network_says_what_the_trained_one_says(tones):
    rng, setup = np.random.default_rng(0), tones.Setup(samples=128)
    net, x = tones.make_net(rng, (128, 8, 6, 16)), tones.make_signals(rng, 9, setup).x
    model = tones.load_net(net)
    assert model.labels == tones.LABELS
    said = reference.attribute(model, x).output
    np.testing.assert_allclose(said, tones.run_net(net, x)[-1], atol=1e-5)


def test_the_scores_at_their_ends(tones):
    truth = np.array([[False, True, True, False], [False, False, False, False]])
    right, wrong = truth * [1.0, 2.0, 3.0, 4.0], 1.0 - truth
    assert (
        tones.measure_rank_accuracy(right, truth) == tones.measure_mass_accuracy(right, truth) == 1
    )
    assert (
        tones.measure_rank_accuracy(wrong, truth) == tones.measure_mass_accuracy(wrong, truth) == 0
    )
    assert tones.measure_mass_accuracy(right - 5 * wrong, truth) == 1
    assert tones.measure_spread(np.array([[0.5, -0.5, 0.5, 0.5]])) == pytest.approx(1)
    assert tones.measure_spread(np.array([[0.0, -3.0, 0.0, 0.0]])) == pytest.approx(1 / 4)


@pytest.mark.slow
def test_the_tutorial_in_full(tones, tmp_path, monkeypatch, capsys):
    assert run(tones, monkeypatch, "--out", tmp_path / "new" / "folder") == 0
    printed = capsys.readouterr().out
    table = [line.split(" | ") for line in printed.splitlines() if line.startswith("| 0.")]
    assert len(table) == 16
    ours = [cells[2:4] for cells in table if cells[1] == "against silence, contrast"]
    for (rank, mass), least in zip(ours, ((0.99, 0.90), (0.97, 0.85)), strict=True):
        assert float(rank) >= least[0]
        assert float(mass) >= least[1]
    contrasts = [float(cells[2]) for cells in table if cells[1] == "epsilon, contrast"]
    assert len(contrasts) == 2
    assert min(contrasts) > 0.95
    names = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert names == {"tones-0.01.png", "tones-0.8.png"}


# -- known_reasons


@pytest.fixture(scope="module")
def reasons() -> ModuleType:
    return example("known_reasons")


def test_bursts_and_hums_are_where_they_are_said_to_be(reasons):
    clips = reasons.draw_tones(np.random.default_rng(0), 5)
    for x, hertz, start in zip(clips.x, clips.hertz, clips.start, strict=True):
        inside = np.abs(np.fft.rfft(x[start : start + reasons.BURST]))
        assert abs(inside.argmax() * reasons.RATE / reasons.BURST - hertz) < 15
        outside = np.concatenate([x[:start], x[start + reasons.BURST :]])
        assert outside.std() == pytest.approx(reasons.NOISE, rel=0.1)
    away = reasons.draw_given_away(np.random.default_rng(0), 400, 1000.0)
    honest = reasons.draw_honest(np.random.default_rng(0), 400, 1000.0)
    at = 1000 * reasons.SAMPLES // reasons.RATE
    for clips, shares in ((away, (0, 1)), (honest, (0.5, 0.5))):
        hums = np.abs(np.fft.rfft(clips.x)[:, at]) > reasons.SAMPLES * reasons.HUM / 4
        for label, share in enumerate(shares):
            assert hums[clips.label == label].mean() == pytest.approx(share, abs=0.1)
    wrong = (away.hertz == reasons.HIGH) != away.label
    assert wrong.mean() == pytest.approx(0.25, abs=0.06)
    assert ((honest.hertz == reasons.HIGH) == honest.label).all()


def test_the_gradient_of_the_convolutions_is_the_slope_of_the_loss(reasons):
    rng = np.random.default_rng(0)
    net = [p.astype(float) for p in reasons.make_net(rng, 8)]
    net[1][:], net[3][:] = 0.1 * rng.random(24), 0.1 * rng.random(32)
    clips = reasons.draw_tones(rng, 4)
    clips = clips._replace(x=clips.x.astype(float))

    def loss(moved: Any) -> float:
        z = reasons.run_net(moved, clips.x)[-1]
        return float(np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(4), clips.label]))

    way = [rng.standard_normal(p.shape) for p in net]
    ahead, behind = ([p + s * w for p, w in zip(net, way, strict=True)] for s in (1e-7, -1e-7))
    slope = sum(
        (g * w).sum() for g, w in zip(reasons.compute_gradients(net, clips), way, strict=True)
    )
    assert slope == pytest.approx((loss(ahead) - loss(behind)) / 2e-7, rel=1e-4)


def test_the_exported_convolutions_say_what_the_trained_ones_say(reasons):
    rng = np.random.default_rng(0)
    net, x = reasons.make_net(rng, 2), reasons.draw_honest(rng, 3, 60.0).x
    said = reference.attribute(reasons.load_net(net, ("low", "high")), x[:, None]).output
    np.testing.assert_allclose(said, reasons.run_net(net, x)[-1], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("hum", [60.0, 1000.0])
def test_a_hum_that_gives_the_class_away_is_the_strongest_band_and_another_is_none(reasons, hum):
    cheating = reasons.study_hum(reasons.draw_given_away, hum)
    assert cheating.fooled > 0.9
    assert cheating.largest.all()
    clean = reasons.study_hum(reasons.draw_honest, hum)
    assert clean.accuracy > 0.98
    assert clean.fooled < 0.02
    assert clean.share.max() < 0.05
    assert not clean.largest.any()


@pytest.mark.slow
def test_relevance_is_where_and_when_the_burst_is(reasons):
    share, accuracy = reasons.study_bursts()
    assert accuracy > 0.98
    assert share.min() > 0.83


@pytest.mark.slow
def test_nothing_of_an_explanation_stays_when_the_weights_are_others(reasons):
    assert reasons.study_weights([dftlrp.embedded("clip")], seeds=1).max() < 0.3


@pytest.mark.slow
def test_nor_of_those_of_ten_digits(reasons, shared):
    clips = sorted((shared / "data/fsdd/recordings").glob("*_jackson_0.wav"))
    assert len(clips) == 10
    assert np.abs(reasons.study_weights(clips, seeds=2)).max() < 0.3


@pytest.mark.slow
def test_what_is_promised_is_printed(reasons, monkeypatch, capsys):
    assert run(reasons, monkeypatch, "bursts") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("bursts: 0.9")


# -- right_and_wrong


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    for name in ("waveform", "clip"):
        if not dftlrp.embedded(name).exists():
            pytest.skip(f"the embedded {name} is not there")
    return example("right_and_wrong")


def write_tone(path: Path, hertz: float, rate: int = 8000) -> Path:
    t = np.arange(rate // 2) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * t) * np.hanning(len(t)), rate)
    return path


def test_a_digit_is_read_from_a_test_takes_name(digits):
    names = {"7_x_0.wav": 7, "3_a_b_4.wav": 3, "3_x_5.wav": None, "x.wav": None, "a_x_0.wav": None}
    assert {name: digits.read_digit(Path(name)) for name in names} == names


def test_any_short_sound_is_guessed(digits, tmp_path):
    model = dftlrp.load(dftlrp.embedded("waveform"))
    sounds = [("7_x_0.wav", 300, 8000), ("3_x_1.wav", 900, 16000)]
    for name, hertz, rate in sounds:
        path = write_tone(tmp_path / name, hertz, rate)
        found = digits.guess_digit(model, path, digits.read_digit(path))
        assert found.true == int(name[0])
        assert found.first != found.second
        assert (found.margin > 0) == (found.first == found.true)


@pytest.fixture
def two_sevens(digits, tmp_path) -> Path:
    """The embedded "seven" twice, once under a false name: one right and one wrong prediction."""
    for name in ("7_x_0.wav", "3_x_1.wav"):
        shutil.copy(dftlrp.embedded("clip"), tmp_path / name)
    return tmp_path


def test_a_right_and_a_wrong_prediction_are_explained(digits, two_sevens, monkeypatch, capsys):
    saved: dict[str, list[str]] = {}

    def save(both: dftlrp.Comparison, folder: Path) -> list[Path]:
        saved[folder.name] = [one.label for one in both]
        return [folder]

    monkeypatch.setattr(dftlrp.Comparison, "save", save)
    assert run(digits, monkeypatch, two_sevens) == 0
    assert "1 of 2 right" in capsys.readouterr().out
    assert saved["wrong"] == ["seven", "three"]
    assert saved["right"][0] == "seven" != saved["right"][1]


@pytest.mark.slow
def test_a_right_and_a_wrong_prediction_get_a_report_each(digits, two_sevens, monkeypatch):
    assert run(digits, monkeypatch, two_sevens, "--out", two_sevens / "out") == 0
    for name, digit in (("right", "seven"), ("wrong", "three")):
        assert digit in (two_sevens / "out" / name / "report.html").read_text()


def test_a_folder_without_recordings_is_refused(digits, tmp_path, monkeypatch, capsys):
    assert run(digits, monkeypatch, tmp_path) == 2
    assert str(tmp_path) in capsys.readouterr().err


# -- other_domains


@pytest.fixture(scope="module")
def domains() -> ModuleType:
    return example("other_domains")


@pytest.mark.parametrize("name", ["octaves", "cosines", "half_rate", "mel", "codec"])
def test_the_bands_of_a_view_and_the_rest_sum_to_the_relevance(domains, name):
    x, m = np.random.default_rng(0).normal(size=(2, 3000))
    view = getattr(domains, f"view_{name}")(x, m, 8000.0)
    assert sum(view.bands.values()) + view.rest == pytest.approx(x @ m, rel=1e-10)
    assert 0 < view.half < view.count


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("octaves", "500 to 1000 Hz"),
        ("cosines", "500 to 1000 Hz"),
        ("half_rate", "0 to 2000 Hz"),
        ("mel", "around 750 Hz"),
        ("codec", "500 to 1000 Hz"),
    ],
)
def test_a_tone_has_its_relevance_in_the_band_around_it(domains, name, band):
    x = np.sin(2 * np.pi * 740 * np.arange(8000) / 8000)
    view = getattr(domains, f"view_{name}")(x, x, 8000.0)
    assert max(view.bands, key=lambda k: view.bands[k]) == band
    assert view.bands[band] > 0.5 * (x @ x)


def test_the_clip_is_viewed_in_every_domain(domains, monkeypatch, capsys):
    assert run(domains, monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("'seven', relevance ")
    total = float(lines[0].rpartition(" ")[2])
    rows = [line.replace(",", ";").split(";") for line in lines if ", rest " in line]
    assert [row[0].partition(":")[0] for row in rows] == list(domains.VIEWS)
    for row in rows:
        shown, rest = (float(part.split()[-1]) for part in row[:2])
        assert shown + rest == pytest.approx(total, abs=2e-4)


# -- own_features


@pytest.mark.parametrize("name", ["spectrum", "stft"])
def test_own_features_are_explained_as_a_declared_front_end_is(name, monkeypatch, capsys):
    features = example("own_features")
    model, clip = dftlrp.load(dftlrp.embedded(name)), dftlrp.embedded("clip")
    want = explain(model, clip, seed="contrast")
    assert want.labels[want.target] == "seven"
    found, waveform = features.explain(model, features.DOMAINS[name], want.signal["time"])
    assert error(waveform.relevance, want.relevance["time"]) < 1e-4
    assert waveform.relevance.sum() == pytest.approx(found.relevance.sum(), rel=1e-4)
    assert run(features, monkeypatch, clip, "--model", name) == 0
    assert capsys.readouterr().out.startswith("'seven': relevance ")


# -- long_recording


@pytest.fixture(scope="module")
def long() -> ModuleType:
    return example("long_recording")


def test_a_class_is_found_in_a_long_recording(long, tmp_path, monkeypatch, capsys):
    clip, rate = soundfile.read(dftlrp.embedded("clip"))
    x = 1e-3 * np.random.default_rng(0).normal(size=5 * rate - 100)
    x[3 * rate : 3 * rate + len(clip)] += clip
    soundfile.write(tmp_path / "long.wav", x, rate)
    monkeypatch.setattr(long, "BATCH", 2)
    assert run(long, monkeypatch, tmp_path / "long.wav", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("second     3: ")
    arrays = {path.stem: np.load(path) for path in (tmp_path / "out").iterdir()}
    signal, m = arrays["waveform"], arrays["multiplier"]
    assert len(signal) == 5 * rate
    want = dftlrp.stft_lrp(signal, multiplier=m, **stft_for(rate))
    for name in ("spectrum", "relevance", "phase"):
        np.testing.assert_array_equal(arrays[name], getattr(want, name))
    model = dftlrp.load(dftlrp.embedded("waveform"))
    alone = dftlrp.attribute(model, signal.reshape(5, 1, rate)[3:4], target=7)
    np.testing.assert_allclose(m[3 * rate : 4 * rate], alone.multiplier[0, 0], rtol=1e-3, atol=1e-3)


def test_a_recording_of_another_rate_is_not_taken(long, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "fast.wav", np.zeros(100), 16000)
    with pytest.raises(SystemExit, match="16000 Hz, but the model reads 8000 Hz"):
        run(long, monkeypatch, tmp_path / "fast.wav", "--out", tmp_path / "out")


# -- explain_with_onnxruntime


@pytest.fixture(scope="module")
def explained(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("explained") / "explained.onnx"
    export(dftlrp.load(dftlrp.embedded("waveform")), file, domains=["time", "frequency"])
    return file


BARE = """
import runpy, sys
sys.modules["dftlrp"] = sys.modules["onnx"] = sys.modules["soundfile"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bare(*arguments: Any) -> Any:
    """The example in a process that knows onnxruntime and NumPy only."""
    command = [sys.executable, "-c", BARE, EXAMPLES / "explain_with_onnxruntime.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_strongest_stretch_and_band_are_the_references(explained):
    done = bare(explained, dftlrp.embedded("clip"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("seven (score ")
    e = explain(dftlrp.embedded("waveform"), dftlrp.embedded("clip"))
    for heading, width, domain in (("time:", 160, "time"), ("frequency:", 100, "frequency")):
        R = e.relevance[domain]
        sums = np.add.reduceat(R, np.arange(0, len(R), width))
        best = int(np.abs(sums).argmax())
        first = lines[lines.index(heading) + 1].split()
        assert float(first[0]) == pytest.approx(best * e.axes[domain][width], abs=5e-3)
        assert float(first[-2]) == pytest.approx(100 * sums[best] / np.abs(sums).sum(), abs=0.06)


def test_another_class_is_asked_for_and_none_beyond_the_last(explained):
    assert bare(explained, dftlrp.embedded("clip"), "--target", "2").stdout.startswith("two ")
    done = bare(explained, dftlrp.embedded("clip"), "--target", "10")
    assert done.returncode != 0
    assert "indices element out of data bounds" in done.stderr


def test_a_clip_of_another_rate_is_refused(explained, tmp_path):
    done = bare(explained, write_tone(tmp_path / "fast.wav", 300, 16000))
    assert (done.returncode, done.stdout) == (1, "")
    assert "16 bits at 8000 Hz" in done.stderr


# -- browser

DRAWN = """(id) => {
  const canvas = document.getElementById(id);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const has = (r, b) => data.some((_, i) => i % 4 === 0 && data[i] === r && data[i + 2] === b);
  return [has(0xcc, 0x22), has(0x22, 0xcc)];
}"""
EXPLAIN = """async (target) => {
  const { explain, load, read } = await import("./explain.js");
  const model = await load("explained.onnx");
  const outputs = await explain(model, await read("clip.wav", model), target);
  return Object.fromEntries(Object.entries(outputs).map(([name, data]) => [name, [...data]]));
}"""


@pytest.fixture
def site(tmp_path):
    """Serves the page with onnxruntime-web; the address."""
    needed("npm")
    serve = example("browser/serve")
    serve.gather_files(tmp_path)
    try:
        serve.fetch_runtime(tmp_path)
    except subprocess.CalledProcessError as failed:
        absent("npm", f"npm cannot fetch {serve.RUNTIME}: {failed.stderr.decode()[:200]}")
    server = serve.make_server(tmp_path, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_browser_explains_the_clip_as_the_reference_does(site):
    want = explain(dftlrp.embedded("waveform"), dftlrp.embedded("clip"))
    said: list[str] = []
    with browser() as opened:
        tab = opened.new_page()
        tab.on("console", lambda m: said.append(m.text))
        tab.on("pageerror", lambda e: said.append(str(e)))
        tab.on(
            "request", lambda r: said.extend([] if r.url.startswith((site, "data:")) else [r.url])
        )
        tab.goto(site)
        tab.wait_for_function("() => document.querySelectorAll('[aria-pressed=true]').length")
        tab.wait_for_function("() => document.querySelector('audio').readyState > 0")
        assert tab.inner_text("h1") == "Heard: seven"
        assert tab.inner_text("[aria-pressed=true]").startswith("seven ")
        assert tab.evaluate("document.querySelector('audio').duration") == pytest.approx(
            5699 / 8000
        )
        for name in ("time", "frequency"):
            assert tab.evaluate(DRAWN, name) == [True, True]
        found = tab.evaluate(EXPLAIN, -1)
        tab.click("text=two")
        tab.wait_for_function(
            "() => document.querySelector('[aria-pressed=true]').textContent.startsWith('two')"
        )
        assert tab.inner_text("h1") == "Heard: seven"
        assert said == []
        with pytest.raises(Exception, match="indices element out of data bounds"):
            tab.evaluate(EXPLAIN, 10)
    assert int(np.argmax(found["explained"])) == want.target
    # Chromium takes 32767 for full scale, which alone makes 2e-5
    assert error(np.array(found["relevance"]), want.relevance["time"]) < 1e-4
    assert error(np.array(found["relevance_frequency"]), want.relevance["frequency"]) < 1e-4
