"""The HTML report of `dftlrp neurons`: classes, their neurons, and the neurons' prototypes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dftlrp.concepts.neuron_figures import find_narrow_peaks
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.neuron_sound import Survival, describe_survival
from dftlrp.concepts.neuron_stills import (
    draw_graph,
    draw_magnitude,
    draw_neuron,
    draw_plane,
    draw_spectrum,
)
from dftlrp.concepts.planes import map_class
from dftlrp.concepts.portraits import Portrait
from dftlrp.concepts.prototypes import rank_recordings
from dftlrp.concepts.trials import DRAWS
from dftlrp.core.progress import steps
from dftlrp.engine.settings import NONE
from dftlrp.results.panels import format_hertz
from dftlrp.results.report import fill_page
from dftlrp.results.report.media import encode_sound
from dftlrp.results.sound import Sound

FEW = 5  # with fewer recordings a class is shown with a warning
SOUND_BYTES = 12_000_000  # of all sounds on the page, which plays part of long recordings
LEAST_SECONDS = 0.5  # of such a part
PICTURES = {
    "spectrum": "Relevance by frequency: mean, and two standard errors of it",
    "magnitude": "Mean share of |relevance| by frequency",
    "map": "Mean relevance over time and frequency",
    "spread": "Standard deviation over the recordings",
    "graph": "Neurons that feed its strongest neuron",
}


def render_page(found: NeuronsData) -> str:
    """Return the report as one self-contained HTML page."""
    owners = _find_owners(found)
    seconds = _limit_seconds(found)
    drawn = {
        n: _describe_neuron(found, found.portraits[n], seconds)
        for n in steps([n for n in found.shown if n in found.portraits], "writing the report")
    }
    study, statistics = found.survey.study, found.survey.statistics
    return fill_page(
        "neurons.html.j2",
        model=found.survey.study.model.replace("\\", "/").rpartition("/")[2],
        layer=study.layer,
        count=found.survey.layers.concepts(study.layer).count,
        recordings=int(statistics.neurons.count.sum()),
        right=float(statistics.right.sum() / max(statistics.neurons.count.sum(), 1)),
        quantity="logit" if study.seed in {"logit", "one"} else "lead",
        draws=DRAWS,
        silent="zero" if study.reference == (NONE,) else "what they are at the reference",
        seconds=seconds,
        classes=[_describe_class(found, c, owners) for c in found.classes],
        neurons=drawn,
        skipped=found.survey.skipped,
        failures=[f.reason for f in found.failures],
        warnings=_write_warnings(found),
        notes=found.notes,
        facts=_collect_facts(found),
    )


def _find_owners(found: NeuronsData) -> dict[int, int]:
    """Return the class under which each neuron is shown: the first that it is strongest for."""
    owners: dict[int, int] = {}
    for c in found.classes:
        owners |= {n: c for n in found.strongest(c) if n not in owners}
    return owners


def _describe_class(found: NeuronsData, c: int, owners: Mapping[int, int]) -> dict[str, Any]:
    statistics = found.survey.statistics
    count = int(statistics.neurons.count[c])
    peaks = find_narrow_peaks(statistics.spectrum.mean[c, 1], found.survey.study.rate)
    return {
        "index": c,
        "label": found.label(c),
        "count": count,
        "right": float(statistics.right[c]) / max(count, 1),
        "rows": [_describe_relevance(found, c, n, owners) for n in found.strongest(c)],
        "activation": found.strongest(c, "activation"),
        "ablation": found.ablation.get(c),
        "peaks": [(format_hertz(f), share) for f, share in peaks],
        "pictures": [
            {"title": PICTURES[name], "svg": svg} for name, svg in _draw_class_stills(found, c)
        ],
        "own": [n for n in found.strongest(c) if owners[n] == c],
    }


def _draw_class_stills(found: NeuronsData, c: int) -> Iterator[tuple[str, str]]:
    """Yield the pictures of a class by their names."""
    rate, statistics = found.survey.study.rate, found.survey.statistics
    mean, absolute = statistics.spectrum.mean[c]
    error = statistics.spectrum.spread[c, 0] / np.sqrt(max(statistics.spectrum.count[c], 1))
    yield "spectrum", draw_spectrum(mean, error, rate)
    yield "magnitude", draw_magnitude(absolute, rate)
    time = "time (s)" if found.seconds else "time (of the duration)"
    for name, plane in map_class(statistics, c, rate, found.seconds).items():
        yield name, draw_plane(plane, time)
    if c in found.graphs:
        yield "graph", draw_graph(found.graphs[c])


def _describe_relevance(
    found: NeuronsData, c: int, n: int, owners: Mapping[int, int]
) -> dict[str, Any]:
    relevance, activation = (
        found.survey.statistics.measure(m) for m in ("relevance", "activation")
    )
    total = float(relevance[0][c].sum())
    return {
        "neuron": n,
        "relevance": (float(relevance[0][c, n]), float(relevance[1][c, n])),
        "share": float(relevance[0][c, n]) / total if total > 0 else float("nan"),
        "activation": (float(activation[0][c, n]), float(activation[1][c, n])),
        "owner": found.label(owners[n]),
    }


def _describe_neuron(
    found: NeuronsData, portrait: Portrait, seconds: float | None
) -> dict[str, Any]:
    n = portrait.neuron
    return {
        "number": n,
        "serves": [(found.label(c), mean) for c, mean in found.serves(n)],
        "spectrum": draw_neuron(portrait.spectrum, found.survey.study.rate),
        "activation": [row.name for row in rank_recordings(found.survey, n, "activation")],
        "prototypes": [
            {
                **numbers,
                "survival": describe_survival(Survival(*(numbers[k] for k in Survival._fields))),
                "picture": draw_plane(plane, "time (s)"),
                "sounds": [encode_sound(s) for s in _cut_sounds(portrait.files, i, seconds)],
            }
            for i, (numbers, plane) in enumerate(
                zip(portrait.prototypes, portrait.planes, strict=True), 1
            )
        ],
    }


def _cut_sounds(files: Mapping[str, bytes], number: int, seconds: float | None) -> list[Sound]:
    """Return the sounds of recording and neuron, cut to the part where the neuron is loudest."""
    import soundfile  # type: ignore[import-untyped]

    names = [f"{number}-{kind}.wav" for kind in ("original", "neuron")]
    if names[0] not in files:
        return []
    both = [soundfile.read(io.BytesIO(files[name]), always_2d=True) for name in names]
    rate = both[0][1]
    original, neuron = (samples for samples, _ in both)
    if original.shape[1] > 2:  # a browser would mix the channels
        best = int(np.square(neuron).sum(axis=0).argmax())
        original, neuron = original[:, [best]], neuron[:, [best]]
    length = len(original) if seconds is None else min(len(original), round(seconds * rate))
    energy = np.cumsum(np.pad(np.square(neuron).sum(axis=1), (1, 0)))
    start = int(np.argmax(energy[length:] - energy[: len(energy) - length]))
    parts = (samples[start : start + length] for samples in (original, neuron))
    return [Sound(part, float(rate), 0.0, "original") for part in parts]


def _limit_seconds(found: NeuronsData) -> float | None:
    """Return the length in seconds of the sounds on the page, or None where nothing is cut."""
    study, clips = found.survey.study, 2 * len(found.shown) * found.count
    room = SOUND_BYTES / (2 * study.rate * max(clips, 1))
    items = found.survey.recordings.items
    longest = max(i.header.frames / (i.header.rate or study.rate) for i in items)
    if (found.seconds or longest) <= room:
        return None
    return max(room, LEAST_SECONDS)


def _write_warnings(found: NeuronsData) -> list[str]:
    statistics = found.survey.statistics
    lines = [
        f"“{found.label(c)}” has only {int(statistics.neurons.count[c])} recordings: its means and "
        "standard deviations are uncertain."
        for c in found.classes
        if statistics.neurons.count[c] < FEW
    ]
    lines += [
        f"“{found.label(c)}”: the model classifies only {statistics.right[c]:.0f} of its "
        f"{int(statistics.neurons.count[c])} recordings correctly; its neurons explain an answer "
        "that the model rarely gives."
        for c in found.classes
        if statistics.right[c] < 0.5 * statistics.neurons.count[c]
    ]
    lines += [
        f"No neuron of this layer supports “{found.label(c)}” on average."
        for c in found.classes
        if not found.strongest(c)
    ]
    if found.failures:
        lines.append(f"{len(found.failures)} parts of the work failed; they are listed at the end.")
    return lines


def _collect_facts(found: NeuronsData) -> dict[str, str]:
    identity = found.survey.study.identity(found.survey.recordings)
    versions = ", ".join(f"{k} {v}" for k, v in identity["versions"].items())
    return {
        "model sha256": identity["model"],
        "front end": identity["frontend"],
        "data sha256": identity["data"],
        "composite": identity["composite"],
        "overrides": ", ".join(f"{k}={v}" for k, v in identity["overrides"].items()) or "none",
        "compared with": ", ".join(map(os.path.basename, found.survey.study.reference)),
        "seed": identity["seed"],
        "backend": identity["backend"] or "onnx; numpy for models that cannot be traced",
        "rate": f"{identity['rate']:g} Hz",
        "versions": versions,
    }
