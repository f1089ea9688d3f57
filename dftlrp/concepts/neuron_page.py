"""The HTML report of `dftlrp neurons`: classes, their neurons, and the neurons' prototypes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dftlrp.concepts.neuron_figures import find_narrow_peaks
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.neuron_sound import Survival, describe_survival
from dftlrp.concepts.neuron_stills import (
    draw_graph,
    draw_image,
    draw_magnitude,
    draw_neuron,
    draw_plane,
    draw_spectrum,
)
from dftlrp.concepts.planes import Plane, map_class, shrink_plane
from dftlrp.concepts.portraits import Portrait
from dftlrp.concepts.prototypes import rank_recordings
from dftlrp.concepts.trials import DRAWS
from dftlrp.core.progress import steps
from dftlrp.engine.settings import NONE
from dftlrp.results.panels import format_hertz
from dftlrp.results.points import FLOOR_DB
from dftlrp.results.report import GALLERY, bundle_script, fill_page
from dftlrp.results.report.media import encode_sound
from dftlrp.results.report.packing import pack_coarse, pack_levels, write_json
from dftlrp.results.sound import Sound, choose_playback

FEW = 5  # with fewer recordings a class is shown with a warning
SOUND_BYTES = 4_000_000  # of all samples on the page, which plays part of long recordings
LEAST_SECONDS = 0.5  # of such a part
CELLS, LEAST_CELLS = 1_600_000, 1000  # of all pictures of prototypes, and of one
TIME = "time (s)"
LETTERS = 120  # of a name in a sentence
PICTURES = {
    "spectrum": "Relevance by frequency: mean, and two standard errors of it",
    "magnitude": "Mean share of |relevance| by frequency",
    "map": "Mean relevance over time and frequency",
    "spread": "Standard deviation over the recordings",
    "graph": "Neurons that feed its strongest neuron",
}


def render_page(found: NeuronsData) -> str:
    """Return the report as one self-contained HTML page."""
    planes: list[dict[str, Any]] = []  # those that the script draws
    seconds = _limit_seconds(found)
    present = [n for n in found.shown if n in found.portraits]
    cells = CELLS // max(len(present) * found.count, 1)
    drawn = {
        n: _describe_neuron(found, found.portraits[n], _Room(planes, seconds, cells))
        for n in steps(present, "writing the report")
    }
    study, statistics = found.survey.study, found.survey.statistics
    classes = [_describe_class(found, c, drawn, planes) for c in found.classes]
    page = {
        "rate": study.rate,
        "stretch": choose_playback(study.rate)[0] / study.rate,
        "floor": FLOOR_DB,
        "planes": planes,
    }
    return fill_page(
        "neurons.html.j2",
        model=found.survey.study.model.replace("\\", "/").rpartition("/")[2],
        layer=study.layer,
        count=found.survey.layers.concepts(study.layer).count,
        recordings=int(statistics.neurons.count.sum()),
        right=float(statistics.right.sum() / max(statistics.neurons.count.sum(), 1)),
        quantity="logit" if study.seed in {"logit", "one"} else "lead",
        draws=DRAWS,
        spectra=statistics.has_spectra,
        silent="zero" if study.reference == (NONE,) else "what they are at the reference",
        seconds=seconds,
        classes=classes,
        neurons=drawn,
        skipped=found.survey.skipped,
        failures=[f.reason for f in found.failures],
        warnings=_write_warnings(found),
        notes=found.notes,
        facts=_collect_facts(found),
        data=write_json(page),
        script=bundle_script(GALLERY),
    )


class _Room(NamedTuple):
    """What the prototypes may take of the page.

    ``planes`` are added to; ``seconds`` of each sound, None where nothing is cut; ``cells`` of each
    picture.
    """

    planes: list[dict[str, Any]]
    seconds: float | None
    cells: int

    def add(self, plane: Plane, **more: Any) -> int:
        """Add a picture; return its number."""
        return _add_plane(self.planes, shrink_plane(plane, max(self.cells, LEAST_CELLS)), **more)


def _add_plane(planes: list[dict[str, Any]], plane: Plane, **more: Any) -> int:
    """Add a picture as gallery.js reads it; return its number."""
    edges = {
        name: {"count": len(e) - 1, **{k: float(v) for k, v in values.items()}}
        for name, e in (("rows", plane.rows), ("columns", plane.columns))
        for values in [{"start": e[0], "step": e[1] - e[0], "end": e[-1]}]
    }
    packed = {"level": pack_levels(plane.level), "relevance": pack_coarse(plane.relevance)}
    planes.append({**edges, **packed, "limit": float(plane.limit), **more})
    return len(planes) - 1


def _describe_class(
    found: NeuronsData,
    c: int,
    drawn: Mapping[int, dict[str, Any]],
    planes: list[dict[str, Any]],
) -> dict[str, Any]:
    statistics = found.survey.statistics
    count = int(statistics.neurons.count[c])
    peaks, maps = list[tuple[float, float]](), ("map", "spread") if statistics.has_spectra else ()
    if statistics.has_spectra:
        peaks = find_narrow_peaks(statistics.spectrum.mean[c, 1], found.survey.study.rate)
    return {
        "index": c,
        "label": found.label(c),
        "count": count,
        "right": float(statistics.right[c]) / max(count, 1),
        "rows": [_describe_relevance(found, c, n, drawn.get(n)) for n in found.strongest(c)],
        "activation": found.strongest(c, "activation"),
        "ablation": found.ablation.get(c),
        "peaks": [(format_hertz(f), share) for f, share in peaks],
        "peak": sum(share for _, share in peaks),
        "pictures": [
            {"title": PICTURES[name], "svg": svg, "plane": None}
            for name, svg in _draw_class_lines(found, c)
        ]
        + [_describe_map(found, c, name, planes) for name in maps],
    }


def _draw_class_lines(found: NeuronsData, c: int) -> Iterator[tuple[str, str]]:
    """Yield the pictures of a class that are made of lines, by their names."""
    rate, statistics = found.survey.study.rate, found.survey.statistics
    if statistics.has_spectra:
        mean, absolute = statistics.spectrum.mean[c]
        error = statistics.spectrum.spread[c, 0] / np.sqrt(max(statistics.spectrum.count[c], 1))
        yield "spectrum", draw_spectrum(mean, error, rate)
        yield "magnitude", draw_magnitude(absolute, rate)
    if c in found.graphs:
        yield "graph", draw_graph(found.graphs[c])


def _describe_map(
    found: NeuronsData, c: int, name: str, planes: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a picture of a class over time and frequency."""
    label = TIME if found.seconds else "time (of the duration)"
    rate = found.survey.study.rate
    plane = map_class(found.survey.statistics, c, rate, found.seconds)[name]
    number = _add_plane(planes, plane, label=label, whole=0.0, **{"from": 0.0}, seconds=0.0)
    return {"title": PICTURES[name], "svg": draw_plane(plane, label), "plane": number}


def _describe_relevance(
    found: NeuronsData, c: int, n: int, drawn: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the numbers of a neuron for a class, and the prototype that stands for it there.

    That is the first one of the class, or the first one.
    """
    relevance, activation = (
        found.survey.statistics.measure(m) for m in ("relevance", "activation")
    )
    total, label = float(relevance[0][c].sum()), found.label(c)
    prototypes = drawn["prototypes"] if drawn else []
    own = [p for p in prototypes if p["label"] == label]
    return {
        "neuron": n,
        "relevance": (float(relevance[0][c, n]), float(relevance[1][c, n])),
        "share": float(relevance[0][c, n]) / total if total > 0 else float("nan"),
        "activation": (float(activation[0][c, n]), float(activation[1][c, n])),
        "shown": next(iter([*own, *prototypes]), None),
        "words": " ".join(p["name"] for p in prototypes),
    }


def _describe_neuron(found: NeuronsData, portrait: Portrait, room: _Room) -> dict[str, Any]:
    n = portrait.neuron
    return {
        "number": n,
        "serves": [(found.label(c), mean) for c, mean in found.serves(n)],
        "spectrum": draw_neuron(portrait.spectrum, found.survey.study.rate),
        "activation": [row.name for row in rank_recordings(found.survey, n, "activation")],
        "prototypes": [
            _describe_prototype(found, portrait, i, room) for i in range(len(portrait.prototypes))
        ],
    }


def _describe_prototype(
    found: NeuronsData, portrait: Portrait, i: int, room: _Room
) -> dict[str, Any]:
    """Return numbers, pictures and sounds of one prototype."""
    rate, plane, numbers = found.survey.study.rate, portrait.planes[i], portrait.prototypes[i]
    part = _cut_sounds(portrait.files, i + 1, room.seconds, rate)
    heard = {"from": part.first / rate, "seconds": (part.last - part.first) / rate}
    number = room.add(plane, label=TIME, whole=float(plane.relevance.sum()), **heard)
    return {
        **numbers,
        "survival": describe_survival(Survival(*(numbers[k] for k in Survival._fields))),
        "svg": draw_plane(plane, TIME),
        "image": draw_image(plane),
        "plane": number,
        "sounds": [(encode_sound(sound), sound.rate) for sound in part.sounds],
    }


class Part(NamedTuple):
    """Sounds of a recording and of a neuron, from one sample of the recording to before another."""

    sounds: list[Sound]
    first: int
    last: int


def _cut_sounds(
    files: Mapping[str, bytes], number: int, seconds: float | None, rate: float
) -> Part:
    """Return the sounds of recording and neuron, cut to the part where the neuron is loudest.

    Parameters
    ----------
    seconds : float or None
        Of the recording, which may be played faster.
    rate : float
        Samples per second of the recording.
    """
    import soundfile  # type: ignore[import-untyped]

    names = [f"{number}-{kind}.wav" for kind in ("original", "neuron")]
    if names[0] not in files:
        return Part([], 0, 0)
    both = [soundfile.read(io.BytesIO(files[name]), always_2d=True) for name in names]
    original, neuron = (samples for samples, _ in both)
    if original.shape[1] > 2:  # a browser would mix the channels
        best = int(np.square(neuron).sum(axis=0).argmax())
        original, neuron = original[:, [best]], neuron[:, [best]]
    length = len(original) if seconds is None else min(len(original), round(seconds * rate))
    energy = np.cumsum(np.pad(np.square(neuron).sum(axis=1), (1, 0)))
    start = int(np.argmax(energy[length:] - energy[: len(energy) - length]))
    last, played = start + length, float(both[0][1])
    sounds = [Sound(a[start:last], played, 0.0, "original") for a in (original, neuron)]
    return Part(sounds, start, last)


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
    known = [(c, _quote(found.label(c)), int(statistics.neurons.count[c])) for c in found.classes]
    lines = [
        f"{name} has only {count} recordings: its means and standard deviations are uncertain."
        for _, name, count in known
        if count < FEW
    ]
    lines += [
        f"{name}: the model classifies only {statistics.right[c]:.0f} of its {count} recordings "
        "correctly; its neurons explain an answer that the model rarely gives."
        for c, name, count in known
        if statistics.right[c] < 0.5 * count
    ]
    lines += [
        f"No neuron of this layer supports {name} on average."
        for c, name, _ in known
        if not found.strongest(c)
    ]
    if found.failures:
        lines.append(f"{len(found.failures)} parts of the work failed; they are listed at the end.")
    return lines


def _quote(label: str) -> str:
    """Return a name in quotation marks, shortened."""
    return f"“{label if len(label) <= LETTERS else label[: LETTERS - 1] + '…'}”"


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
