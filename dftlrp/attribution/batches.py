"""Many variants of one input through a model, several at a time and no more than memory holds.

Points between a reference and the input, noisy copies and inputs with parts left out are such
variants.  Several of them are one batch where the model's output shows that it has a batch:
the first batch begins with the input itself, whose output is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from dftlrp.attribution.games import Tally
from dftlrp.attribution.references import find_reference
from dftlrp.core.identity import measure_deviation
from dftlrp.core.types import AnyArray, DftlrpError, Real
from dftlrp.engine.backward import Answer, add_batch_axis
from dftlrp.engine.model import Model
from dftlrp.engine.plan import Plan
from dftlrp.engine.seeds import make_seed
from dftlrp.engine.settings import Question, Settings
from dftlrp.tracing.answers import predict_output

T = TypeVar("T")
Arrays = Mapping[str, AnyArray]
MOST_VARIANTS = 32  # in a batch
MOST_NUMBERS = 2**19  # that a batch holds
SAME = 1e-3  # as a share of the largest score: a batch mixes samples, or computes as one does


@dataclass(frozen=True, eq=False)
class Point:
    """An input of a model, what is asked about it, and the answer there.

    Attributes
    ----------
    model : Model
    inputs : dict of str to array
        By name, batch first.
    settings : Settings
        With backend and composite as they were taken for the answer.
    question : Question
    answer : Answer
        What the backend said at the input itself.
    tally : Tally
        Counts the inputs that the model is run on.
    """

    model: Model
    inputs: Arrays
    settings: Settings
    question: Question
    answer: Answer
    tally: Tally = field(default_factory=lambda: Tally(1))

    @property
    def plan(self) -> Plan:
        """What of the graph is explained."""
        return self.answer.plan

    @property
    def reference(self) -> dict[str, AnyArray]:
        """What the input is compared with, in its shape: silence where nothing is asked for."""
        given = self.settings.compared or find_reference(self.inputs)
        return {k: np.broadcast_to(given[k], np.shape(x)) for k, x in self.inputs.items()}

    @property
    def coefficients(self) -> Real:
        """The multiplier c of the explained output z; what is explained is the sum of c z."""
        found, labels = self.answer, self.model.labels
        z = np.asarray(found.explained, np.float64)
        rows = z if found.target is None else add_batch_axis(z, self.plan)
        target = self.question.target if found.target is None else found.target
        c: Real = make_seed(target, found.seed_kind.taken, rows, labels).multiplier
        return c.reshape(z.shape)

    def predict(self, inputs: Arrays) -> Real:
        """Return the explained output z for other inputs, in float64."""
        self.tally.passes += 1
        z = predict_output(self.model, dict(inputs), self.settings).explained
        return np.asarray(z, np.float64)


def run_variants(
    point: Point,
    count: int,
    make: Callable[[int, int], Arrays],
    ask: Callable[[Arrays, int], tuple[Real, Sequence[T]]],
) -> Iterator[T]:
    """Yield what is asked of each variant, in their order.

    Parameters
    ----------
    count : int
        How many variants there are.
    make : callable
        From (start, stop) to the inputs of these variants, one after the other on the first axis.
    ask : callable
        From inputs and the number of variants in them to the explained output and the answers.
    """
    size, done = _choose_size(point, count), 0
    if size > 1:
        first = _ask_first(point, make(0, size - 1), size, ask)
        size, done = (size, size - 1) if first else (1, 0)
        yield from first
    while done < count:
        start = max(0, min(done, count - size))  # batches of one size have one graph
        yield from ask(make(start, start + size), size)[1][done - start :]
        done = start + size


def split_variants(array: AnyArray, copies: int) -> AnyArray:
    """Return an array of a batch with an axis of its variants in front."""
    if copies == 1:
        return array[None]
    return array.reshape(copies, len(array) // copies, *array.shape[1:])


def _choose_size(point: Point, count: int) -> int:
    """Return how many variants a batch holds; batches are equally large."""
    dims = [value.dims for value in point.plan.signals.values()]
    if any(d is not None and (len(d) < 2 or d[0] is not None) for d in dims):
        return 1
    one = sum(a.size for a in point.inputs.values())
    most = max(1, min(MOST_VARIANTS, MOST_NUMBERS // one, count + 1))
    batches = -(-(count + 1) // most)
    return -(-(count + 1) // batches)


def _ask_first(
    point: Point,
    others: Arrays,
    size: int,
    ask: Callable[[Arrays, int], tuple[Real, Sequence[T]]],
) -> Sequence[T]:
    """Return the answers of the first batch without that of the input itself.

    They are none where the model has no batch: it fails on several inputs, or mixes them.
    """
    inputs = {k: np.concatenate([a, others[k]]) for k, a in point.inputs.items()}
    try:
        explained, items = ask(inputs, size)
        own = np.asarray(point.answer.explained)
        known = explained.shape == (size * len(own), *own.shape[1:])
        alike = known and measure_deviation(explained[: len(own)], own) <= SAME
    except (DftlrpError, ValueError):  # asked one by one, a fault of the input shows again
        return []
    return items[1:] if alike else []
