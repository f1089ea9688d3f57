"""Answers by a backend's own arrays, prepared once for each model, settings and shapes.

The first call decides and computes, and is watched by backends that can; a later call runs what was
noted for its own numbers (`dftlrp.core.programs`).  One number at the end tells whether
all inputs and results are finite; if not, the call is computed with all of its decisions and
checks, which name the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dftlrp.core.backend import Backend, get_backend
from dftlrp.core.maps import Array
from dftlrp.core.memory import reuse_memory
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.core.types import InputError
from dftlrp.engine.backward import Answer, find_start, map_arrays, send_back
from dftlrp.engine.cache import Recent
from dftlrp.engine.evaluate import REFUSALS
from dftlrp.engine.forward import NOTHING, ReadValues, run_forward
from dftlrp.engine.model import Model, make_key
from dftlrp.engine.settings import Question, Settings

MOST_PROGRAMS = 8  # that a model keeps
Run = Callable[[Sequence[Array]], list[Array]]


class _Place(NamedTuple):
    """Where an array stands among what a program gives."""

    number: int


class _Prepared(NamedTuple):
    """A program, and the answers whose arrays it gives; constants stand there themselves."""

    run: Run
    answers: list[Answer]
    explained: Array


@dataclass(eq=False)
class Programs:
    """The programs that a model keeps; None where numbers decide what runs."""

    known: Recent[_Prepared | None] = field(
        default_factory=lambda: Recent[_Prepared | None](MOST_PROGRAMS)
    )


def answer_by_arrays(
    model: Model,
    signals: Mapping[str, Array],
    settings: Settings,
    questions: Sequence[Question],
    weights: Mapping[str, Array] = NOTHING,
) -> list[Answer]:
    """Return the answers to questions about the same inputs, in arrays of a backend.

    Parameters
    ----------
    signals : dict of str to array of the backend
    weights : dict of str to array of the backend
        Stand for those of the file.

    Raises
    ------
    InputError, NonFiniteError, UnsupportedModelError
        As of `dftlrp.attribute`.
    """
    shapes = tuple(tuple(a.shape) for a in signals.values())
    with reuse_memory((settings.backend, id(model.graph), shapes)):
        return _answer(_Asked(model, signals, weights, settings, questions))


def _answer(asked: _Asked) -> list[Answer]:
    """Return the answers, by a program where there is one."""
    programs, key = asked.model.cache.part(Programs).known, asked.make_key()
    given = {**asked.signals, **asked.weights}
    if key is None:
        return asked.answer(given)
    if key not in programs:
        answers, prepared = asked.prepare()
        programs.put(key, prepared)
        return answers
    prepared = programs.get(key)
    found = None if prepared is None else asked.run(prepared)
    return asked.answer(given) if found is None else found


@dataclass(frozen=True, eq=False)
class _Asked:
    """A call; the fields are the arguments of `answer_by_arrays`."""

    model: Model
    signals: Mapping[str, Array]
    weights: Mapping[str, Array]
    settings: Settings
    questions: Sequence[Question]

    @cached_property
    def bk(self) -> Backend:
        """The backend."""
        return get_backend(self.settings.backend)

    def read_labels(self, question: Question) -> tuple[str, ...]:
        """Return the names of the classes."""
        return question.labels or self.model.labels

    def answer(
        self, given: Mapping[str, Array], put: Callable[[Array], Array] = lambda c: c
    ) -> list[Answer]:
        """Return the answers, with all decisions and checks.

        ``put`` returns an array that stands for the coefficients that a question asks for.
        """
        checked = ReadValues({name: given[name] for name in self.signals}, self.bk)
        ready = run_forward(self.model, checked, self.settings, given)
        z, answers = ready.values[ready.plan.explained], []
        for question in self.questions:
            start = find_start(self.bk, ready.plan, z, question, self.read_labels(question))
            if start.largest is None:
                c = self.bk.asarray(start.coefficients)
                start = start._replace(coefficients=put(c))
            answers.append(send_back(ready, question, start))
        return answers

    def prepare(self) -> tuple[list[Answer], _Prepared | None]:
        """Return the answers, and what was prepared on the way, if it is of use."""
        watcher, outputs = self.bk.start_watching(), list[Array]()
        assert watcher is not None

        def place(x: Array) -> Any:
            if not watcher.depends(x):
                return _copy(x)
            outputs.append(x)
            return _Place(len(outputs) - 1)

        with watcher.watch():
            inputs = {k: watcher.add_input(x) for k, x in {**self.signals, **self.weights}.items()}
            answers = self.answer(inputs, watcher.add_input)
            placed = [map_arrays(place, answer) for answer in answers]
            sums = [
                self.bk.sum(x.ravel(), (0,), False)
                for x in (*inputs.values(), *outputs)
                if x.dtype.kind == "f"
            ]
            finite = np.isfinite(sum(sums[1:], start=sums[0]))
        run, z = watcher.finish([*outputs, finite]), answers[0].explained
        shaped = np.broadcast_to(np.zeros((), z.dtype), z.shape)
        return answers, None if run is None else _Prepared(run, placed, shaped)

    def run(self, prepared: _Prepared) -> list[Answer] | None:
        """Return the answers by what was prepared, or None if it fails or gives odd numbers.

        Raises
        ------
        InputError
            The device has not enough memory.
        """
        inputs, answers = [*self.signals.values(), *self.weights.values()], []
        for question, answer in zip(self.questions, prepared.answers, strict=True):
            if answer.largest is None:
                labels = self.read_labels(question)
                start = find_start(NUMPY, answer.plan, prepared.explained, question, labels)
                inputs.append(self.bk.asarray(start.coefficients))
                answer = answer._replace(target=start.target)  # noqa: PLW2901
            answers.append(answer)
        try:
            *found, finite = prepared.run(inputs)
        except MemoryError as error:
            raise self._refuse_batch(error) from error
        except REFUSALS:  # with all decisions and checks the node is named
            return None
        if not self.bk.read(finite):
            return None

        def get(x: Array) -> Array:
            return found[x.number] if isinstance(x, _Place) else _copy(x)

        return [map_arrays(get, answer) for answer in answers]

    def _refuse_batch(self, error: MemoryError) -> InputError:
        samples = max(map(len, self.signals.values()))
        fewer = f"{samples // 2} samples at a time" if samples > 1 else "shorter ones"
        return InputError(
            f"backend {self.bk.name!r} lacks memory for {samples} samples: {error}: explain {fewer}"
        )

    def make_key(self) -> Hashable | None:
        """Return what a program is known by, or None where none is kept.

        That is where the target is a function of numbers, and where there are conditions.
        """
        if self.bk.start_watching() is None:
            return None
        if any(q.masks or callable(q.target) for q in self.questions):
            return None
        settings, given = self.settings, (*self.signals.items(), *self.weights.items())
        asked = tuple(
            (_is_largest(q), q.seed, tuple(q.keep), q.ledger, q.labels, q.signals)
            for q in self.questions
        )
        return (
            make_key(settings.output, settings.bind),
            make_key(None, settings.compared),
            settings.compared is None,
            settings.by_default,
            self.bk.name,
            settings.floats.name,
            self.bk.tell_rounding(settings.floats),  # constants are rounded, too
            repr(settings.composite),
            tuple((k, str(rule)) for k, rule in settings.overrides.items()),
            tuple((name, x.shape, x.dtype.str) for name, x in given),
            asked,
        )


def _copy(x: Array) -> Array:
    """Return a constant as an array of its own: what is kept must not change with a result."""
    return x.copy() if isinstance(x, np.ndarray) else x * 1


def _is_largest(question: Question) -> bool:
    return isinstance(question.target, str) and question.target == "argmax"
