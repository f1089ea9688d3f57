"""Models that no one graph explains, or only one that takes too long to trace."""

from __future__ import annotations

from collections.abc import Sequence

from dftlrp.core.types import UnsupportedModelError
from dftlrp.engine.evaluate import Run
from dftlrp.engine.plan import Plan
from dftlrp.tracing.repeats import Repeat

SHORTEST, LONGEST = 500, 6000  # nodes of loops and cells: each takes some milliseconds
SHAPING = {  # inputs whose numbers say how large the output is
    "NonZero": (0,), "Unique": (0,), "ConstantOfShape": (0,), "Range": (0, 1, 2),
    "BlackmanWindow": (0,), "HammingWindow": (0,), "HannWindow": (0,), "MelWeightMatrix": (0, 1),
    "NonMaxSuppression": (0, 1, 2, 3, 4), "Compress": (1,), "Expand": (1,), "Tile": (1,),
    "Reshape": (1,), "Pad": (1,), "TopK": (1,), "OneHot": (1,), "Split": (1,), "DFT": (1,),
    "CenterCropPad": (1,), "AffineGrid": (1,), "Col2Im": (1, 2), "MaxUnpool": (2,),
    "Upsample": (1,), "Resize": (1, 2, 3), "STFT": (1, 3), "Slice": (1, 2, 3, 4),
}  # fmt: skip


def refuse_long_loops(plan: Plan, run: Run, repeats: Sequence[Repeat]) -> None:
    """Refuse loops and cells that would take longer to trace than NumPy takes many times over.

    Steps that are alike are written once.
    """
    numbers = sum(int(run.values[name].size) for name in plan.signals)
    most = min(LONGEST, SHORTEST + 2 * numbers)
    rolled = sum((len(repeat) - 1) * len(repeat.sample) for repeat in repeats)
    written = len(run.nodes) - len(plan.graph.nodes) - rolled
    if written > most:
        raise UnsupportedModelError(
            f"its loops and cells are {written} nodes when they are written out, and tracing takes "
            f"at most {most} on this input: use backend='numpy'"
        )


def refuse_decisions(plan: Plan, run: Run) -> None:
    """Refuse a model in which the signal decides which nodes run, or how large a value is."""
    moving = set(plan.signals)
    for node in run.nodes:
        sizes = [node.inputs[i] for i in SHAPING.get(node.op, ()) if i < len(node.inputs)]
        if large := sorted(moving.intersection(sizes)):
            raise UnsupportedModelError(
                f"{large[0]!r} depends on the signal and decides the size of {node.output!r} "
                f"({node.op}), so no one graph explains all: use backend='numpy'"
            )
        if node.op not in {"Shape", "Size"} and not moving.isdisjoint(node.inputs):
            moving.add(node.output)
    if decisive := sorted(moving & run.decisive):
        raise UnsupportedModelError(
            f"{decisive[0]!r} depends on the signal and decides which nodes run, so no one graph "
            "explains all: use backend='numpy'"
        )
