"""The page of `dftlrp neurons`: classes, their neurons, and the neurons' prototypes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.concepts.figures import narrow_peaks
from dftlrp.concepts.portraits import Portrait
from dftlrp.concepts.prototypes import ranked
from dftlrp.concepts.trials import DRAWS
from dftlrp.core.progress import steps
from dftlrp.results.report import page

if TYPE_CHECKING:
    from dftlrp.concepts.neurons import Neurons

FEW = 5  # recordings, of which spread says little
SOUND_BYTES = 12_000_000  # of all sounds on the page; of long recordings it plays the loudest part
LEAST_SECONDS = 0.5
PICTURES = {
    "spectrum": "Relevance by frequency: mean, and two standard errors of it",
    "magnitude": "Mean share of |relevance| by frequency",
    "map": "Relevance over time and frequency: mean",
    "spread": "Its spread over the recordings (one standard deviation)",
}


def render(found: Neurons, pictures: Mapping[int, Mapping[str, bytes]]) -> str:
    """One self-contained page.

    Parameters
    ----------
    pictures : dict of int to dict of str to bytes
        PNG files of each class.
    """
    owners: dict[int, int] = {}
    for c in found.classes:
        owners |= {n: c for n in found.strongest(c) if n not in owners}
    seconds = _seconds(found)
    drawn = {
        n: _neuron(found, found.portraits[n], seconds)
        for n in steps([n for n in found.shown if n in found.portraits], "writing the report")
    }
    study, statistics = found.survey.study, found.survey.statistics
    return page(
        "neurons.html.j2",
        model=found.survey.study.model.replace("\\", "/").rpartition("/")[2],
        layer=study.layer,
        count=found.survey.layers.concepts(study.layer).count,
        recordings=int(statistics.neurons.count.sum()),
        right=float(statistics.right.sum() / max(statistics.neurons.count.sum(), 1)),
        quantity="logit" if study.seed in {"logit", "one"} else "lead",
        draws=DRAWS,
        seconds=seconds,
        classes=[_class(found, c, pictures[c], owners) for c in found.classes],
        neurons=drawn,
        skipped=found.survey.skipped,
        failures=[f.reason for f in found.failures],
        warnings=_warnings(found),
        notes=found.notes,
        facts=_facts(found),
    )


def _class(
    found: Neurons, c: int, pictures: Mapping[str, bytes], owners: Mapping[int, int]
) -> dict[str, Any]:
    statistics = found.survey.statistics
    count = int(statistics.neurons.count[c])
    names = [*PICTURES, *(["graph"] if "graph.png" in pictures else [])]
    titles = {**PICTURES, "graph": "What feeds its strongest neuron"}
    return {
        "index": c,
        "label": found.label(c),
        "count": count,
        "right": float(statistics.right[c]) / max(count, 1),
        "rows": [_row(found, c, n, owners) for n in found.strongest(c)],
        "activation": found.strongest(c, "activation"),
        "ablation": found.ablation.get(c),
        "peaks": narrow_peaks(statistics.spectrum.mean[c, 1], found.survey.study.rate),
        "pictures": [
            {
                "title": titles[k],
                "uri": uri("image/png", pictures[f"{k}.png"]),
                "wide": k == "graph",
            }
            for k in names
        ],
        "own": [n for n in found.strongest(c) if owners[n] == c],
    }


def _row(found: Neurons, c: int, n: int, owners: Mapping[int, int]) -> dict[str, Any]:
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


def _neuron(found: Neurons, portrait: Portrait, seconds: float | None) -> dict[str, Any]:
    n, files = portrait.neuron, portrait.files
    return {
        "number": n,
        "serves": [(found.label(c), mean) for c, mean in found.serves(n)],
        "spectrum": uri("image/png", files["spectrum.png"]),
        "activation": [row.name for row in ranked(found.survey, n, "activation")],
        "prototypes": [
            {
                **numbers,
                "picture": uri("image/png", files[f"{i}-picture.png"]),
                "sounds": [uri("audio/wav", data) for data in _heard(files, i, seconds)],
            }
            for i, numbers in enumerate(portrait.prototypes, 1)
        ],
    }


def _heard(files: Mapping[str, bytes], number: int, seconds: float | None) -> list[bytes]:
    """The recording and the neuron; of a long one the part where the neuron is loudest."""
    import soundfile  # type: ignore[import-untyped]

    names = [f"{number}-{kind}.wav" for kind in ("original", "neuron")]
    if names[0] not in files:
        return []
    both = [soundfile.read(io.BytesIO(files[name]), always_2d=True) for name in names]
    rate = both[0][1]
    original, neuron = (samples for samples, _ in both)
    if original.shape[1] > 2:  # loudspeakers would mix them
        best = int(np.square(neuron).sum(axis=0).argmax())
        original, neuron = original[:, [best]], neuron[:, [best]]
    length = len(original) if seconds is None else min(len(original), round(seconds * rate))
    energy = np.cumsum(np.pad(np.square(neuron).sum(axis=1), (1, 0)))
    start = int(np.argmax(energy[length:] - energy[: len(energy) - length]))
    parts = (samples[start : start + length] for samples in (original, neuron))
    return [_wav(part, rate) for part in parts]


def _wav(samples: Any, rate: int) -> bytes:
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, samples, rate, "PCM_16", format="WAV")
    return out.getvalue()


def _seconds(found: Neurons) -> float | None:
    """How much of a recording is played, so that the page stays small; None: all of it."""
    study, clips = found.survey.study, 2 * len(found.shown) * found.count
    room = SOUND_BYTES / (2 * study.rate * max(clips, 1))
    longest = max(i.header.frames / i.header.rate for i in found.survey.recordings.items)
    if (found.seconds or longest) <= room:
        return None
    return max(room, LEAST_SECONDS)


def _warnings(found: Neurons) -> list[str]:
    statistics = found.survey.statistics
    said = [
        f"“{found.label(c)}” has only {int(statistics.neurons.count[c])} recordings: its means and "
        "spreads say little."
        for c in found.classes
        if statistics.neurons.count[c] < FEW
    ]
    said += [
        f"“{found.label(c)}”: the model gets {statistics.right[c]:.0f} of "
        f"{int(statistics.neurons.count[c])} right; its neurons explain an answer it rarely gives."
        for c in found.classes
        if statistics.right[c] < 0.5 * statistics.neurons.count[c]
    ]
    said += [
        f"No neuron of this layer speaks for “{found.label(c)}” in the mean."
        for c in found.classes
        if not found.strongest(c)
    ]
    if found.failures:
        said.append(f"{len(found.failures)} parts of the work have no result; see the end.")
    return said


def _facts(found: Neurons) -> dict[str, str]:
    identity = found.survey.study.identity(found.survey.recordings)
    versions = ", ".join(f"{k} {v}" for k, v in identity["versions"].items())
    return {
        "model sha256": identity["model"],
        "front end": identity["frontend"],
        "data sha256": identity["data"],
        "composite": identity["composite"],
        "overrides": ", ".join(f"{k}={v}" for k, v in identity["overrides"].items()) or "none",
        "seed": identity["seed"],
        "backend": identity["backend"] or "onnx where it can, else numpy",
        "rate": f"{identity['rate']:g} Hz",
        "versions": versions,
    }


def uri(kind: str, data: bytes) -> str:
    """A data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
