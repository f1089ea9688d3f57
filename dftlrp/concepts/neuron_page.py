"""The HTML report of `dftlrp neurons`: classes, their neurons, and the neurons' prototypes."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from dftlrp.concepts.neuron_figures import find_narrow_peaks
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.neuron_sound import Survival, describe_survival
from dftlrp.concepts.portraits import Portrait
from dftlrp.concepts.prototypes import rank_recordings
from dftlrp.concepts.trials import DRAWS
from dftlrp.core.progress import steps
from dftlrp.engine.settings import NONE
from dftlrp.results.panels import format_hertz
from dftlrp.results.report import fill_page
from dftlrp.results.report.media import make_uri

FEW = 5  # with fewer recordings a class is shown with a warning
SOUND_BYTES = 12_000_000  # of all sounds on the page, which plays part of long recordings
LEAST_SECONDS = 0.5  # of such a part
PICTURES = {
    "spectrum": "Relevance by frequency: mean, and two standard errors of it",
    "magnitude": "Mean share of |relevance| by frequency",
    "map": "Mean relevance over time and frequency",
    "spread": "Standard deviation over the recordings",
}


def render_page(found: NeuronsData, pictures: Mapping[int, Mapping[str, bytes]]) -> str:
    """Return the report as one self-contained HTML page.

    Parameters
    ----------
    pictures : dict of int to dict of str to bytes
        PNG files of each class.
    """
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
        classes=[_describe_class(found, c, pictures[c], owners) for c in found.classes],
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


def _describe_class(
    found: NeuronsData, c: int, pictures: Mapping[str, bytes], owners: Mapping[int, int]
) -> dict[str, Any]:
    statistics = found.survey.statistics
    count = int(statistics.neurons.count[c])
    peaks = find_narrow_peaks(statistics.spectrum.mean[c, 1], found.survey.study.rate)
    names = [*PICTURES, *(["graph"] if "graph.png" in pictures else [])]
    titles = {**PICTURES, "graph": "Neurons that feed its strongest neuron"}
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
            {
                "title": titles[k],
                "uri": make_uri("image/png", pictures[f"{k}.png"]),
                "wide": k == "graph",
            }
            for k in names
        ],
        "own": [n for n in found.strongest(c) if owners[n] == c],
    }


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
    n, files = portrait.neuron, portrait.files
    return {
        "number": n,
        "serves": [(found.label(c), mean) for c, mean in found.serves(n)],
        "spectrum": make_uri("image/png", files["spectrum.png"]),
        "activation": [row.name for row in rank_recordings(found.survey, n, "activation")],
        "prototypes": [
            {
                **numbers,
                "survival": describe_survival(Survival(*(numbers[k] for k in Survival._fields))),
                "picture": make_uri("image/png", files[f"{i}-picture.png"]),
                "sounds": [make_uri("audio/wav", data) for data in _cut_sounds(files, i, seconds)],
            }
            for i, numbers in enumerate(portrait.prototypes, 1)
        ],
    }


def _cut_sounds(files: Mapping[str, bytes], number: int, seconds: float | None) -> list[bytes]:
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
    return [_encode_wav(part, rate) for part in parts]


def _encode_wav(samples: Any, rate: int) -> bytes:
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, samples, rate, "PCM_16", format="WAV")
    return out.getvalue()


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
