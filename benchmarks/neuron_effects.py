"""Whether the relevance of a neuron says what its class loses without it, by preset and reference.

    python benchmarks/neuron_effects.py FOLDER [--model M] [--layer L ...] [--seed-kind K]

FOLDER holds recordings named ``digit_speaker_take.wav``, as the Free Spoken Digit Dataset has
them; its official test split, takes 0 to 4, is used.  For each recording and each neuron of a
layer the effect is the fall of the score of its class when the neuron is silent: set to zero, or to
what it is when the model reads silence, which a bias keeps from being zero.  Relevance is that
which arrives at the neuron, of the same score.

The table has Spearman's rank correlation of relevance and effect over the neurons of a layer, of
the means over a class's recordings, averaged over the classes, with the standard error of a
jackknife over speakers and takes; its difference to the first row, with the standard error of
that; and the mean of the correlations of single recordings, with theirs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import dftlrp
from dftlrp.attribution.waveform import find_waveform, read_signal
from dftlrp.concepts import layers_of, silenced
from dftlrp.concepts.conditions import Concepts
from dftlrp.engine.model import Model

Floats = NDArray[np.floating[Any]]
PRESETS = {  # composite and reference of each row; the first is what the others are held against
    "EpsilonAlpha2Beta1": ("EpsilonAlpha2Beta1", None),
    "EpsilonPlus": ("EpsilonPlus", None),
    "Epsilon": ("Epsilon", None),
    "EpsilonGamma": ("EpsilonGamma", None),
    "EpsilonGamma, silence": ("EpsilonGamma", "silence"),
    "Epsilon, silence": ("Epsilon", "silence"),
    "Gradient": ("Gradient", None),
}
BATCH = 30


class Clips(NamedTuple):
    """Recordings as the model reads them (n, ...), their classes, and what is left out together."""

    x: Floats
    label: NDArray[np.int64]
    group: NDArray[np.int64]


def read_clips(model: Model, folder: Path, takes: Sequence[int]) -> Clips:
    """Return the recordings of some takes; a group is one take of one speaker."""
    read = find_waveform(model.plan(None, {}), None)
    rows, labels, groups = [], [], []
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        if int(take) in takes:
            rows.append(read.to_input(read_signal(model, path, 8000.0, read).samples))
            labels.append(int(digit))
            groups.append(f"{speaker} {take}")
    return Clips(np.concatenate(rows), np.array(labels), np.unique(groups, return_inverse=True)[1])


def measure_effects(
    model: Model, clips: Clips, concepts: Concepts, seed: str, reference: str
) -> Floats:
    """Return by how much the score of its class falls without each neuron, (n, neurons)."""
    alone = [(n,) for n in range(concepts.count)]
    return np.concatenate([
        silenced(
            model, clips.x[[i]], int(clips.label[i]), concepts, alone, seed=seed, batch=BATCH,
            reference=reference,
        )
        for i in range(len(clips.x))
    ])  # fmt: skip


def measure_relevance(
    model: Model, clips: Clips, concepts: Concepts, seed: str, asked: tuple[str, Any]
) -> Floats:
    """Return the relevance that arrives at each neuron, (n, neurons)."""
    parts = []
    for start in range(0, len(clips.x), BATCH):
        rows = np.minimum(np.arange(start, start + BATCH), len(clips.x) - 1)
        found = dftlrp.attribute(
            model, clips.x[rows], target=clips.label[rows].tolist(), seed=seed, ledger=False,
            keep=[concepts.name], composite=asked[0], reference=asked[1],
        )  # fmt: skip
        R = concepts.per_concept(np.asarray(found.kept[concepts.name][1], np.float64))
        parts.append(R.sum(axis=2))
    return np.concatenate(parts)[: len(clips.x)]


def correlate(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation; 0 where one of them is constant."""
    from scipy.stats import spearmanr

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)


def correlate_classes(relevance: Floats, effect: Floats, label: NDArray[np.int64]) -> Floats:
    """Return the rank correlation of the means over each class's recordings, (classes,)."""
    return np.array([
        correlate(relevance[label == c].mean(axis=0), effect[label == c].mean(axis=0))
        for c in np.unique(label)
    ])  # fmt: skip


def leave_out(relevance: Floats, effect: Floats, clips: Clips) -> Floats:
    """Return the mean of `correlate_classes` without each group in turn, (groups,)."""
    kept = [clips.group != g for g in np.unique(clips.group)]
    return np.array(
        [correlate_classes(relevance[k], effect[k], clips.label[k]).mean() for k in kept]
    )


def estimate_error(without: Floats) -> float:
    """Return the standard error of a mean from its values without each group in turn."""
    n = len(without)
    return float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))


class Row(NamedTuple):
    """What is printed of one preset: values, each with its standard error."""

    name: str
    classes: tuple[float, float]
    gain: tuple[float, float]
    clips: tuple[float, float]
    each: Floats

    def __str__(self) -> str:
        a, b, c = (f"{v:.3f} ± {e:.3f}" for v, e in (self.classes, self.gain, self.clips))
        worst = f"{self.each.min():.2f} to {self.each.max():.2f}"
        return f"| {self.name} | {a} | {b} | {worst} | {c} |"


def compare(found: dict[str, Floats], effect: Floats, clips: Clips) -> Iterator[Row]:
    """Yield a row for each preset, from its relevance (n, neurons)."""
    base: Any = None
    for name, relevance in found.items():
        each = correlate_classes(relevance, effect, clips.label)
        without = leave_out(relevance, effect, clips)
        base = (each.mean(), without) if base is None else base
        single = np.array([correlate(r, e) for r, e in zip(relevance, effect, strict=True)])
        yield Row(
            name, (each.mean(), estimate_error(without)),
            (each.mean() - base[0], estimate_error(without - base[1])),
            (single.mean(), single.std() / np.sqrt(len(single))), each,
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=dftlrp.embedded("waveform"))
    parser.add_argument("--layer", nargs="+", default=["conv2", "conv4", "conv6", "relu7"])
    parser.add_argument("--seed-kind", default="logit")
    parser.add_argument("--takes", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    model = dftlrp.load(args.model)
    clips = read_clips(model, args.folder, args.takes)
    print(f"{args.model.name}, {len(clips.x)} recordings, seed {args.seed_kind}")
    for layer in args.layer:
        concepts = layers_of(model, clips.x[:1]).concepts(layer)
        found = {
            name: measure_relevance(model, clips, concepts, args.seed_kind, asked)
            for name, asked in PRESETS.items()
        }
        for reference, words in (("none", "zero"), ("silence", "what it is in silence")):
            effect = measure_effects(model, clips, concepts, args.seed_kind, reference)
            print(f"\n{layer}, {concepts.count} neurons, each set to {words}\n")
            print("| relevance | classes | minus the first | by class | single recordings |")
            print("|---|---|---|---|---|", *compare(found, effect, clips), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
