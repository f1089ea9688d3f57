"""Tables of neurons and classes as CSV text; docs/guides/neurons.md explains their columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dftlrp.concepts.neuron_figures import find_narrow_peaks
from dftlrp.concepts.neuron_results import NeuronsData
from dftlrp.concepts.neuron_sound import Survival
from dftlrp.concepts.prototypes import rank_recordings
from dftlrp.concepts.statistics import MEASURES, RANKINGS, band_centres

Rows = Iterable[Sequence[Any]]


def make_tables(found: NeuronsData) -> dict[str, str]:
    """Return the text of every table by the name of its file."""
    left_out = () if found.survey.statistics.has_spectra else OF_SPECTRA
    return {
        f"{k}.csv": _format_csv(*make(found)) for k, make in TABLES.items() if k not in left_out
    }


def _list_strongest(found: NeuronsData) -> tuple[str, Rows]:
    """Return the strongest neurons of each class by relevance (RelMax) and activation (ActMax)."""
    measure = found.survey.statistics.measure
    count = found.survey.statistics.neurons.count
    return "class,label,by,rank,neuron,mean,spread,count", (
        (c, found.label(c), by, rank, n, mean[c, n], spread[c, n], int(count[c]))
        for c in found.classes
        for by in ("relevance", "activation")
        for mean, spread in [measure(by)]
        for rank, n in enumerate(found.strongest(c, by), 1)
    )


def _list_measures(found: NeuronsData) -> tuple[str, Rows]:
    """Return every measure of every neuron for each class that has recordings."""
    neurons = found.survey.statistics.neurons
    columns = ",".join(f"{m},{m}_spread" for m in MEASURES)
    return f"neuron,class,label,count,{columns}", (
        (
            n,
            c,
            found.label(c),
            int(neurons.count[c]),
            *_interleave(neurons.mean[c, :, n], spread[c, :, n]),
        )
        for spread in [neurons.spread]
        for n in range(neurons.mean.shape[2])
        for c in range(len(neurons.count))
        if neurons.count[c]
    )


def _interleave(mean: Any, spread: Any) -> Iterable[float]:
    return (value for pair in zip(mean, spread, strict=True) for value in pair)


def _list_prototypes(found: NeuronsData) -> tuple[str, Rows]:
    """Return the rankings of the neurons shown."""
    return "neuron,by,rank,recording,label,value", (
        (n, by, rank, row.name, found.label(row.of_class), row.value)
        for n in found.shown
        for by in RANKINGS
        for rank, row in enumerate(rank_recordings(found.survey, n, by), 1)
    )


def _list_dissipation(found: NeuronsData) -> tuple[str, Rows]:
    """Return the share of a neuron's relevance that reaches the recording of each prototype."""
    return "neuron,rank,recording,label,through,dissipation", (
        (n, rank, p["name"], p["label"], p["through"], p["dissipation"])
        for n in found.shown
        if n in found.portraits
        for rank, p in enumerate(found.portraits[n].prototypes, 1)
    )


def _list_survivals(found: NeuronsData) -> tuple[str, Rows]:
    """Return what is left of class and neuron in the sound of each prototype, and in the rest."""
    return f"neuron,rank,recording,label,{','.join(Survival._fields)}", (
        (n, rank, p["name"], p["label"], *(p[k] for k in Survival._fields))
        for n in found.shown
        if n in found.portraits
        for rank, p in enumerate(found.portraits[n].prototypes, 1)
    )


def _list_ablations(found: NeuronsData) -> tuple[str, Rows]:
    return "class,label,recordings,neurons,rank_correlation,most_relevant,random", (
        (c, found.label(c), a.recordings, len(a.concepts), a.correlation, a.most_relevant, a.random)
        for c, a in found.ablation.items()
    )


def _list_effects(found: NeuronsData) -> tuple[str, Rows]:
    return "class,neuron,relevance,effect", (
        (c, n, relevance, effect)
        for c, a in found.ablation.items()
        for n, relevance, effect in zip(a.concepts, a.relevance, a.effect, strict=True)
    )


def _list_spectra(found: NeuronsData) -> tuple[str, Rows]:
    spectrum, rate = found.survey.statistics.spectrum, found.survey.study.rate
    return "class,hertz,mean,spread,absolute,absolute_spread", (
        (c, f, *_interleave(spectrum.mean[c, :, i], spread[c, :, i]))
        for spread in [spectrum.spread]
        for c in found.classes
        for i, f in enumerate(band_centres(rate))
    )


def _list_peaks(found: NeuronsData) -> tuple[str, Rows]:
    absolute, rate = found.survey.statistics.spectrum.mean[:, 1], found.survey.study.rate
    return "class,label,hertz,share", (
        (c, found.label(c), *peak)
        for c in found.classes
        for peak in find_narrow_peaks(absolute[c], rate)
    )


def _list_edges(found: NeuronsData) -> tuple[str, Rows]:
    return "class,layer,neuron,feeds_layer,feeds_neuron,weight", (
        (c, *edge.source, *edge.target, edge.weight)
        for c, edges in found.graphs.items()
        for edge in edges
    )


def _list_skipped(found: NeuronsData) -> tuple[str, Rows]:
    return "recording,why", found.survey.skipped


TABLES: dict[str, Callable[[NeuronsData], tuple[str, Rows]]] = {
    "classes": _list_strongest,
    "neurons": _list_measures,
    "prototypes": _list_prototypes,
    "dissipation": _list_dissipation,
    "heard": _list_survivals,
    "ablation": _list_ablations,
    "effects": _list_effects,
    "spectra": _list_spectra,
    "peaks": _list_peaks,
    "graphs": _list_edges,
    "skipped": _list_skipped,
}


OF_SPECTRA = ("spectra", "peaks")


def _format_csv(head: str, rows: Rows) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head.split(","))
    writer.writerows([_format_value(value) for value in row] for row in rows)
    return out.getvalue()


def _format_value(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value
