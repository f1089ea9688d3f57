"""Tables of neurons and classes, as CSV; what each column means is in docs/neurons.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dftlrp.concepts.figures import narrow_peaks
from dftlrp.concepts.prototypes import ranked
from dftlrp.concepts.statistics import MEASURES, RANKINGS, hertz

if TYPE_CHECKING:
    from dftlrp.concepts.neurons import Neurons

Rows = Iterable[Sequence[Any]]


def tables(found: Neurons) -> dict[str, str]:
    """All tables, by the name of their file."""
    return {f"{name}.csv": _csv(*make(found)) for name, make in TABLES.items()}


def _classes(found: Neurons) -> tuple[str, Rows]:
    """The strongest neurons of each class, by relevance (RelMax) and by activation (ActMax)."""
    measure = found.survey.statistics.measure
    count = found.survey.statistics.neurons.count
    return "class,label,by,rank,neuron,mean,spread,count", (
        (c, found.label(c), by, rank, n, mean[c, n], spread[c, n], int(count[c]))
        for c in found.classes
        for by in ("relevance", "activation")
        for mean, spread in [measure(by)]
        for rank, n in enumerate(found.strongest(c, by), 1)
    )


def _neurons(found: Neurons) -> tuple[str, Rows]:
    """Every measure of every neuron, for each class that has recordings."""
    neurons = found.survey.statistics.neurons
    columns = ",".join(f"{m},{m}_spread" for m in MEASURES)
    return f"neuron,class,label,count,{columns}", (
        (
            n,
            c,
            found.label(c),
            int(neurons.count[c]),
            *_pairs(neurons.mean[c, :, n], spread[c, :, n]),
        )
        for spread in [neurons.spread]
        for n in range(neurons.mean.shape[2])
        for c in range(len(neurons.count))
        if neurons.count[c]
    )


def _pairs(mean: Any, spread: Any) -> Iterable[float]:
    return (value for pair in zip(mean, spread, strict=True) for value in pair)


def _prototypes(found: Neurons) -> tuple[str, Rows]:
    """The recordings of the shown neurons' rankings."""
    return "neuron,by,rank,recording,label,value", (
        (n, by, rank, row.name, found.label(row.of_class), row.value)
        for n in found.shown
        for by in RANKINGS
        for rank, row in enumerate(ranked(found.survey, n, by), 1)
    )


def _dissipation(found: Neurons) -> tuple[str, Rows]:
    """What of a neuron's relevance reaches each prototype's recording."""
    return "neuron,rank,recording,label,through,dissipation", (
        (n, rank, p["name"], p["label"], p["through"], p["dissipation"])
        for n in found.shown
        if n in found.portraits
        for rank, p in enumerate(found.portraits[n].prototypes, 1)
    )


def _ablation(found: Neurons) -> tuple[str, Rows]:
    return "class,label,recordings,neurons,rank_correlation,most_relevant,random", (
        (c, found.label(c), a.recordings, len(a.concepts), a.correlation, a.most_relevant, a.random)
        for c, a in found.ablation.items()
    )


def _effects(found: Neurons) -> tuple[str, Rows]:
    return "class,neuron,relevance,effect", (
        (c, n, relevance, effect)
        for c, a in found.ablation.items()
        for n, relevance, effect in zip(a.concepts, a.relevance, a.effect, strict=True)
    )


def _spectra(found: Neurons) -> tuple[str, Rows]:
    spectrum, rate = found.survey.statistics.spectrum, found.survey.study.rate
    return "class,hertz,mean,spread,absolute,absolute_spread", (
        (c, f, *_pairs(spectrum.mean[c, :, i], spread[c, :, i]))
        for spread in [spectrum.spread]
        for c in found.classes
        for i, f in enumerate(hertz(rate))
    )


def _peaks(found: Neurons) -> tuple[str, Rows]:
    absolute, rate = found.survey.statistics.spectrum.mean[:, 1], found.survey.study.rate
    return "class,label,hertz,share", (
        (c, found.label(c), *peak)
        for c in found.classes
        for peak in narrow_peaks(absolute[c], rate)
    )


def _graphs(found: Neurons) -> tuple[str, Rows]:
    return "class,layer,neuron,feeds_layer,feeds_neuron,weight", (
        (c, *edge.source, *edge.target, edge.weight)
        for c, edges in found.graphs.items()
        for edge in edges
    )


def _skipped(found: Neurons) -> tuple[str, Rows]:
    return "recording,why", found.survey.skipped


TABLES: dict[str, Callable[[Neurons], tuple[str, Rows]]] = {
    "classes": _classes,
    "neurons": _neurons,
    "prototypes": _prototypes,
    "dissipation": _dissipation,
    "ablation": _ablation,
    "effects": _effects,
    "spectra": _spectra,
    "peaks": _peaks,
    "graphs": _graphs,
    "skipped": _skipped,
}


def _csv(head: str, rows: Rows) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head.split(","))
    writer.writerows([_text(value) for value in row] for row in rows)
    return out.getvalue()


def _text(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value
