"""A forward pass in two parts: up to a value, which is changed in many ways, and on from there.

What lies before the value is computed once for all changes of it, and what lies behind a value that
is only looked at is not computed at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import get_backend
from dftlrp.core.types import AnyArray, Real
from dftlrp.engine.auto import answer_by_backend
from dftlrp.engine.evaluate import fit_factor
from dftlrp.engine.forward import Prediction, check_reference, predict_values, run_forward
from dftlrp.engine.model import Model
from dftlrp.engine.settings import Question, Settings
from dftlrp.tracing.answers import read_outputs
from dftlrp.tracing.batch import BATCH
from dftlrp.tracing.finder import Prepared, prepare
from dftlrp.tracing.onnx_backend import OnnxBackend
from dftlrp.tracing.session import Arrays, Session
from dftlrp.tracing.trace import FORWARD, GraphRequest


def compute_value(model: Model, inputs: AnyArray, settings: Settings, name: str) -> Real:
    """Return a value, the output of a node; the onnx backend computes nothing behind it.

    Raises
    ------
    InputError, NonFiniteError, UnsupportedModelError
        As of `dftlrp.attribute`.
    """

    def ask(settings: Settings) -> Real:
        bk = get_backend(settings.backend)
        if not isinstance(bk, OnnxBackend):
            return bk.read(run_forward(model, inputs, settings).values[name])
        return _compute_values(prepare(model, inputs, settings, Question()), [name])[name]

    return answer_by_backend(replace(settings, reference=None), ask)[0]


def _compute_values(prepared: Prepared, names: Sequence[str]) -> Arrays:
    """Return values by their names, in their order."""
    session = prepared.find_session(GraphRequest(target=FORWARD, only=tuple(names)))
    found = read_outputs(session, session.run(prepared.feed(session)))
    return {name.partition(":")[2]: array for name, array in found.items()}


def predict_scaled(
    model: Model,
    sample: AnyArray,
    settings: Settings,
    value: str,
    masks: Sequence[AnyArray],
    axis: int = 0,
) -> list[Prediction]:
    """Return the output of one sample when a value of it is multiplied by masks.

    With the onnx backend what lies before the value is computed once.

    Parameters
    ----------
    sample : array (1, ...)
    settings : Settings
        With a reference the change of the value from that is multiplied.
    value : str
        Output of a node.
    masks : sequence of array
        Batches of masks; there is a prediction for each batch, with a row for each mask.
    axis : int
        Of the samples in the value, and of the masks.

    Raises
    ------
    InputError
        The value is not computed on the way, or a mask does not fit it.
    """

    def ask(settings: Settings) -> list[Prediction]:
        if isinstance(get_backend(settings.backend), OnnxBackend):
            split = _Split(model, sample, settings, value, axis)
            return [split.predict(mask) for mask in masks]
        many = (np.repeat(sample, mask.shape[axis], axis=0) for mask in masks)
        return [
            predict_values(model, x, settings, {value: mask})
            for x, mask in zip(many, masks, strict=True)
        ]

    return answer_by_backend(settings, ask)[0]


@dataclass(frozen=True, eq=False)
class _Split:
    """The forward pass of one sample, cut at a value.

    Attributes
    ----------
    axis : int
        Of the samples in the value.
    behind : dict of int to _Behind
        By number of samples.
    ahead : dict of int to (dict, dict)
        By number of samples, the values at the cut, and those at the reference if there is one.
    """

    model: Model
    sample: AnyArray
    settings: Settings
    value: str
    axis: int
    behind: dict[int, _Behind] = field(default_factory=dict)
    ahead: dict[int, tuple[Arrays, Arrays]] = field(default_factory=dict)

    def predict(self, mask: AnyArray) -> Prediction:
        """Return the output when the value is multiplied by several masks."""
        rows = mask.shape[self.axis]
        if rows not in self.behind:
            self.behind[rows] = self._find_behind(rows)
        values, there = self.behind[rows].values, self.behind[rows].there
        name, session = next(iter(values)), self.behind[rows].session
        scale = fit_factor(mask, values[name], name)
        if there:
            changed = (values[name] - there[name]) * scale + there[name]
        else:
            changed = values[name] * scale
        found = read_outputs(session, session.run({**values, name: changed}))
        return Prediction(found["output"], found["explained"])

    def _find_behind(self, rows: int) -> _Behind:
        """Return what goes on behind the value of so many samples that are alike."""
        session = self._prepare(rows).find_session(GraphRequest(target=FORWARD, behind=self.value))
        declared: dict[str, Any] = {x.name: x.shape for x in session.runtime.get_inputs()}
        axes = {k: [i for i, n in enumerate(d) if isinstance(n, str)] for k, d in declared.items()}
        plain = all(len(a) == 1 and declared[k][a[0]] == BATCH for k, a in axes.items())
        size = 1 if plain else rows  # how many samples a value of several axes holds is not seen
        if size not in self.ahead:
            self.ahead[size] = self._compute_ahead(size, list(declared))
        values, there = (
            {k: np.repeat(a, rows, axes[k][0]) if plain else a for k, a in known.items()}
            for known in self.ahead[size]
        )
        return _Behind(session, values, there)

    def _compute_ahead(self, rows: int, names: Sequence[str]) -> tuple[Arrays, Arrays]:
        """Return values of so many samples that are alike, and those at the reference."""
        prepared, compared = self._prepare(rows), self.settings.compared
        values = _compute_values(prepared, names)
        if compared is None:
            return values, {}
        at = check_reference(prepared.plan, compared, prepared.arrays)
        return values, _compute_values(replace(prepared, arrays=at), names)

    def _prepare(self, rows: int) -> Prepared:
        plain = replace(self.settings, reference=None)
        return prepare(self.model, np.repeat(self.sample, rows, axis=0), plain, Question())


class _Behind(NamedTuple):
    """The graph behind a value, and what it reads; with a reference, that of it, too."""

    session: Session
    values: Arrays
    there: Arrays
