"""The two records in which a question travels from the public keyword arguments inward.

A public function takes keyword arguments, since users write them one by one.  Its first lines put
them into these records, and everything below takes the records::

    settings = Settings(output=output, bind=bind or {}, composite=composite, backend=backend)
    question = Question(target=target, seed=seed, keep=keep)
    (answer,) = dftlrp.tracing.answers.answer(model, inputs, settings, [question])

Both are frozen: what is decided on the way makes another one (``dataclasses.replace``).  What
``"auto"`` and None stand for is decided in `dftlrp.engine.auto` alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dftlrp.core.backend import Backend
from dftlrp.core.rule_text import Rule, read_rule
from dftlrp.core.types import AnyArray, InputError
from dftlrp.engine.composites import Composite, find_composite
from dftlrp.engine.evaluate import MAX_BYTES
from dftlrp.engine.seeds import Target

AUTO = "auto"
NONE, SILENCE = "none", "silence"  # references


@dataclass(frozen=True)
class Settings:
    """How a model is run and which rules stand at its layers.

    All that one forward pass depends on beside the model and its inputs; several questions may be
    answered from it.

    Attributes
    ----------
    output, bind, composite, overrides, backend, dtype
        As the keyword arguments of `dftlrp.attribute`; without ``bind`` or ``overrides`` an empty
        dict.
    threads : int, optional
        Threads of onnxruntime, on which the last digits depend, if the backend does not name them;
        if not given, as many as there are cores.
    room : int
        Bytes that the inputs may ask for in a forward pass; see `dftlrp.engine.evaluate`.
    reference : dict of str to array, or "auto", optional
        By signal, in a shape that broadcasts to the input's: what the difference to is explained;
        see `dftlrp.engine.difference`.  ``"auto"``: silence or nothing.
    by_default : bool
        Whether the reference was left open, so that one at which a layer divides nothing by nothing
        is refused.
    """

    output: str | None = None
    bind: Mapping[str, Any] = field(default_factory=dict)
    composite: str | Composite = AUTO
    overrides: Mapping[str, str | Rule] = field(default_factory=dict)
    backend: str | Backend | None = None
    dtype: Any = None
    threads: int | None = None
    room: int = MAX_BYTES
    reference: Mapping[str, AnyArray] | str | None = None
    by_default: bool = False

    @property
    def compared(self) -> Mapping[str, AnyArray] | None:
        """The reference, which is decided by now."""
        assert not isinstance(self.reference, str)
        return self.reference

    @property
    def floats(self) -> np.dtype[Any]:
        """The dtype to compute in; float64 where none was asked for.

        Raises
        ------
        InputError
            It is not a floating one.
        """
        try:
            taken = np.dtype(self.dtype or np.float64)
        except TypeError:
            taken = np.dtype(object)
        if taken.kind != "f":
            told = f"dtype {self.dtype!r}: it must be a floating one, as 'float64' or 'float32'"
            raise InputError(told)
        return taken

    def by_reference(self) -> Settings:
        """Return the same settings for the NumPy backend in float64."""
        return replace(self, backend=None, dtype=None)

    def with_rules(self) -> Settings:
        """Return the settings with preset and overrides as rules instead of their names.

        Raises
        ------
        InputError
            Unknown preset or rule.
        """
        named = self.composite if self.composite == AUTO else find_composite(self.composite)
        overrides = {key: read_rule(to) for key, to in self.overrides.items()}
        return replace(self, composite=named, overrides=overrides)


@dataclass(frozen=True)
class Question:
    """What is asked about a forward pass.

    Attributes
    ----------
    target, seed, keep, masks, ledger
        As the keyword arguments of `dftlrp.attribute`; without ``masks`` an empty dict.
    labels : tuple of str
        Names of the classes, where they are not those of the model's file.
    signals : bool
        Whether the relevance of the signals is wanted.  Without it relevance goes back no further
        than to the values to keep.
    """

    target: Target = "argmax"
    seed: str = "logit"
    keep: Collection[str] = ()
    masks: Mapping[str, AnyArray | None] = field(default_factory=dict)
    ledger: bool = True
    labels: tuple[str, ...] = ()
    signals: bool = True
