"""What an explanation says of how it was made: notes for a reader, facts for a program."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dftlrp.attribution.attribute import Attribution
from dftlrp.attribution.recording import Recording
from dftlrp.core.types import AnyArray
from dftlrp.core.versions import find_versions
from dftlrp.engine.model import Model
from dftlrp.engine.settings import NONE, SILENCE, Question, Settings
from dftlrp.graph.frontend import find_levels, note_empty_filters, reads_mel
from dftlrp.graph.structure import Graph

AUDIBLE = 0.005  # share of the relevance on silent frames that is worth a warning
PACKAGES = ("dftlrp", "numpy", "scipy", "onnx", "onnxruntime")


def write_notes(
    model: Model, recording: Recording, question: Question, result: Attribution
) -> tuple[str, ...]:
    """Return what was done to the recording and the model, and what to beware of."""
    return (
        *recording.notes,
        *result.notes,
        *_describe_reference(result),
        *_describe_conditions(question.masks),
        *note_empty_filters(model.graph),
        *_warn_of_silence(result, model.graph),
    )


def _describe_reference(result: Attribution) -> Iterator[str]:
    """Yield a sentence about the recordings or the noise that the recording is compared with."""
    if (reference := result.facts.get("reference", NONE)) not in {NONE, SILENCE}:
        yield f"compared with {reference}: the difference of the two scores is explained"


def _describe_conditions(masks: Mapping[str, AnyArray | None]) -> Iterator[str]:
    """Yield a sentence about what relevance had to go through, for each layer."""
    for layer, mask in masks.items():
        if mask is None:
            yield f"only what goes past {layer!r} is shown"
        else:
            parts = f"{np.count_nonzero(mask)} of {np.size(mask)}"
            yield f"only what goes through {parts} channels or places of {layer!r} is shown"


def _warn_of_silence(result: Attribution, graph: Graph) -> Iterator[str]:
    """Yield a warning if much of the relevance behind a front end lies on silent frames."""
    name = find_levels(graph)
    if not name or name not in result.kept:
        return
    value, relevance = result.kept[name]
    size = np.abs(relevance)
    silent = ~value.any(axis=tuple(range(2, value.ndim)))
    share = float(size[silent].sum() / max(size.sum(), np.finfo(float).tiny))
    if share >= AUDIBLE:
        yield (
            f"warning: {100 * share:.0f} % of the relevance lies on silent frames, where there is "
            "nothing to hear"
        )


def collect_provenance(
    model: Model, recording: Recording, settings: Settings, question: Question, result: Attribution
) -> dict[str, Any]:
    """Return what the explanation depends on, as values that JSON can hold."""
    conditions = list(_describe_conditions(question.masks))
    rules = {
        "composite": result.table.composite,
        "rules": {la.key: la.rule_name for la in result.table.layers if la.rule},
        "overrides": {key: str(to) for key, to in settings.overrides.items()},
    }
    return {
        "model": model.path.name,
        "model sha256": model.graph.sha256,
        "recording": recording.name,
        "recording sha256": recording.sha256,
        "method": result.method,
        **result.facts,
        **(rules if result.method.startswith("lrp") else {}),
        "seed": result.seed_kind,
        "backend": result.backend,
        "defaults": result.defaults,
        **({"threads": settings.threads} if result.backend == "onnx" else {}),
        **({"front end": "mel"} if reads_mel(model.graph) else {}),
        "dtype": str(result.explained.dtype),
        "precision": result.precision,
        "versions": {**find_versions(*PACKAGES), "python": platform.python_version()},
        **({"conditions": conditions} if conditions else {}),
    }
