"""The results of `dftlrp.concepts.neurons` as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.attribution.waveform import find_waveform
from dftlrp.concepts.ablation import Ablation
from dftlrp.concepts.flow import Edge
from dftlrp.concepts.portraits import Portraits
from dftlrp.concepts.shards import Failure
from dftlrp.concepts.survey import Survey
from dftlrp.core.names import list_some
from dftlrp.core.text import make_printable


@dataclass(frozen=True, eq=False)
class NeuronsData:
    """Which neurons of a layer matter for which classes; `Neurons` also saves it.

    Attributes
    ----------
    survey : Survey
        Statistics of the layer over all recordings.
    labels : tuple of str
        Names of the classes, or empty.
    classes : tuple of int
        The classes asked for.
    top, count : int
        Number of neurons of each class, and of prototypes of each neuron.
    ablation : dict of int to Ablation
        By class.
    graphs : dict of int to list of Edge
        By class, the attribution graph of its strongest neuron.
    portraits : Portraits
        Of the strongest neurons, by their number.
    notes : tuple of str
        What was assumed, and what is missing.
    failures : tuple of Failure
        Parts of the work without a result.
    """

    survey: Survey
    labels: tuple[str, ...]
    classes: tuple[int, ...]
    top: int
    count: int
    ablation: dict[int, Ablation]
    graphs: dict[int, list[Edge]]
    portraits: Portraits
    notes: tuple[str, ...]
    failures: tuple[Failure, ...]

    def __repr__(self) -> str:
        study = self.survey.study
        many = "1 class" if len(self.classes) == 1 else f"{len(self.classes)} classes"
        told = [f"Neurons of {study.layer} for {many}"]
        told += [f"  {self.label(c)}: {list_some(self.strongest(c))}" for c in self.classes[:8]]
        told += ["  next     save(FOLDER), strongest(CLASS), serves(NEURON), to_dict()"]
        return "\n".join(map(make_printable, told))

    def label(self, of_class: int) -> str:
        """Return the name of a class, or its index as text where the classes have no names.

        Parameters
        ----------
        of_class : int
            Its index.

        Returns
        -------
        str
            As the labels say.
        """
        return self.labels[of_class] if self.labels else str(of_class)

    def strongest(self, of_class: int, by: str = "relevance") -> list[int]:
        """Return the neurons of a class with the largest positive means of a measure.

        Parameters
        ----------
        of_class : int
            Its index.
        by : str
            One of `dftlrp.concepts.statistics.MEASURES`.

        Returns
        -------
        list of int
            At most ``top``, the strongest first.
        """
        return self.survey.statistics.find_supporting(of_class, self.top, by)

    @property
    def shown(self) -> list[int]:
        """The strongest neurons of all classes asked for, each once."""
        return list(dict.fromkeys(n for c in self.classes for n in self.strongest(c)))

    @property
    def seconds(self) -> float | None:
        """Seconds that the model reads of each recording; None where it reads any length."""
        length = find_waveform(self.survey.layers.plan, None).length
        return None if length is None else length / self.survey.study.rate

    def to_dict(self) -> dict[str, Any]:
        """Return the strongest neurons of each class as values that JSON can hold.

        Returns
        -------
        dict
            What ``dftlrp neurons --json`` prints.
        """
        mean, spread = self.survey.statistics.measure("relevance")
        count = self.survey.statistics.neurons.count
        classes = [
            {
                "class": int(c),
                "label": self.label(c),
                "recordings": int(count[c]),
                "neurons": [
                    {"neuron": int(n), "mean": float(mean[c, n]), "spread": float(spread[c, n])}
                    for n in self.strongest(c)
                ],
            }
            for c in self.classes
        ]
        return {
            "layer": self.survey.study.layer,
            "classes": classes,
            "notes": list(self.notes),
            "skipped": dict(self.survey.skipped),
            "failures": [failure.reason for failure in self.failures],
        }

    def serves(self, neuron: int) -> list[tuple[int, float]]:
        """Return classes with the neuron's positive mean relevance, the largest first.

        Parameters
        ----------
        neuron : int
            Its number.

        Returns
        -------
        list of (int, float)
            Class and mean relevance.
        """
        mean = self.survey.statistics.measure("relevance")[0][:, neuron]
        order = np.argsort(-mean, kind="stable")
        return [(int(c), float(mean[c])) for c in order if mean[c] > 0]
