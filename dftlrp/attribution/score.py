"""The score that an explanation is about, of other signals: what experiments ask the model for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from dftlrp.core.types import DftlrpError, InputError, Real
from dftlrp.engine.model import Model
from dftlrp.engine.settings import Settings
from dftlrp.results.data import Asked
from dftlrp.tracing.answers import predict_output

ALIKE = 1e-3  # of the largest score: what one may differ by in a batch and alone


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores of signals: sum over the explained output z of c z, with the seed's coefficients c.

    Attributes
    ----------
    model, settings
        What is asked, and how it is run.
    coefficients : array
        c, in the shape of the explained output of one sample, with its batch axis.
    to_input : callable
        From one signal to what the model reads, with its batch axis.
    joined : dict of shape to bool
        Whether signals of a shape can be scored together, where that is known.
    """

    model: Model
    settings: Settings
    coefficients: Real
    to_input: Callable[[Real], Real]
    joined: dict[tuple[int, ...], bool] = field(default_factory=dict)

    def __call__(self, signals: Real) -> Real:
        """Return the scores (B,) of signals (B, ...)."""
        z = self.explained(signals)
        return np.asarray((z * self.coefficients).reshape(len(z), -1).sum(axis=1))

    def explained(self, signals: Real) -> Real:
        """Return the explained output of signals (B, ...), the batch first."""
        inputs = [self.to_input(x) for x in signals]
        if len(inputs) > 1 and self._may_join(inputs[0].shape):
            try:
                return self._run_together(inputs)
            except DftlrpError:  # alone, each says better what is wrong, or nothing is
                self.joined[inputs[0].shape] = False
        return np.concatenate([self._run(one) for one in inputs])

    def _may_join(self, shape: tuple[int, ...]) -> bool:
        (value,) = self.model.plan(self.settings.output, self.settings.bind).signals.values()
        dims = value.dims or ()
        return len(dims) > 1 and dims[0] is None and self.joined.get(shape, True)

    def _run_together(self, inputs: list[Real]) -> Real:
        """Return the explained output of a batch, if each sample is computed as if alone.

        A file may leave the first axis open and still join all samples into one; that is looked at
        once for signals of each shape.

        Raises
        ------
        InputError
            The samples of a batch depend on each other.
        """
        whole = self._run(np.concatenate(inputs))
        if inputs[0].shape not in self.joined:
            alone = self._run(inputs[0])
            same = len(whole) == len(inputs) and whole[:1].shape == alone.shape
            if not same or np.abs(whole[:1] - alone).max() > ALIKE * np.abs(whole).max():
                raise InputError("the samples of a batch depend on each other")
            self.joined[inputs[0].shape] = True
        return whole

    @cached_property
    def _ready(self) -> Settings:
        """The settings with rules that are read once, as thousands of signals are scored."""
        return self.settings.with_rules()

    def _run(self, array: Real) -> Real:
        found = predict_output(self.model, array, self._ready).explained
        z = np.asarray(found, np.float64)
        return z if z.ndim == self.coefficients.ndim else z.reshape(self.coefficients.shape)


def settings_for_scores(settings: Settings) -> Settings:
    """Return settings of forward passes, which know of no rule and no reference."""
    return replace(settings, composite="Epsilon", overrides={}, reference=None)


def make_asked(
    model: Model,
    settings: Settings,
    coefficients: Real,
    samples: Real,
    to_input: Callable[[Real], Real] | None = None,
) -> Asked:
    """Return samples that were explained, with the score that was explained of them.

    Parameters
    ----------
    coefficients : array
        c of `Scorer`.
    to_input : callable, optional
        From samples to what the model reads; if not given, a batch axis is put in front.
    """
    own = settings_for_scores(settings)
    scorer = Scorer(model, own, coefficients, to_input or (lambda x: x[None]))
    return Asked(samples, scorer, scorer.explained)
