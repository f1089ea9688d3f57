"""Write docs/operators.md: what every operator is where relevance is concerned.

python docs/operators.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from dftlrp.ops import EXPANSIONS, OPS, Op
from dftlrp.ops.inner import OWN

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Operators

Every ONNX operator that dftlrp knows, opset 9 to the newest (older files are converted): what it is where relevance is
concerned, and which rule stands there by default. `python docs/operators.py` writes this page from the table in the code.

* **Affine**: linear in its inputs at the current activations; a rule shares its relevance. *Without weights* means that a rule
  which modifies weights falls back to epsilon(0), and the layer table shows it.
* **Route**: relevance is carried, never rescaled (movement, winners, activations).
* **Stop**: carries none (shapes, indices, comparisons).
* **evaluated only**: refused, by name, where it lies between the signal and the explained output.
* *Frozen* inputs are taken as they are; gradient x input (the preset Gradient) still counts them.

The default rule: `Conv` and `ConvTranspose` get the preset's rule, every other Affine epsilon. Products of two signals
(`Mul`, `MatMul`) freeze the gate or the attention weights (the factor behind a Softmax, Sigmoid, HardSigmoid, Tanh, or the one
that is broadcast) and share by half where neither is a gate; under AttnLRP they share by half unless one is a normaliser's
scale. Nodes that are together one layer are recognised after the forward pass: Conv + (reshape) + Add, MatMul + Add, Mul + Add,
LayerNorm and Softmax written out, elementwise functions of one value (GELU, SiLU, x * sigmoid(b x), x * x ...).

| operator | map | default rule | inputs | how | source |
|---|---|---|---|---|---|
"""
SOURCES = {
    "linear": "Bach et al. 2015", "einsum": "Bach et al. 2015", "pool": "Bach et al. 2015",
    "reduce": "Bach et al. 2015", "pointwise": "Bach et al. 2015",
    "norm": "Ali et al. 2022 (scale frozen)", "softmax": "AttnLRP, Achtibat et al. 2024",
    "transform": "DFT-LRP, Vielhaben et al. 2023", "recurrent": "Arras et al. 2017",
}  # fmt: skip


def rule(op: Op, name: str) -> str:
    if op.kind == "Route":
        return "carried"
    if op.kind != "Affine":
        return ""
    if not op.weighted:
        return "epsilon (no weights)"
    return "the preset's" if name in {"Conv", "ConvTranspose"} else "epsilon"


def inputs(op: Op) -> str:
    carried = "any" if op.carries is None else ", ".join(map(str, op.carries))
    frozen = [i for i in op.frozen if op.carries is None or i in op.carries][:3]
    told = f"; {', '.join(map(str, frozen))} frozen" if frozen else ""
    product = "; one of two signals" if op.product else ""
    return f"{carried}{told}{product}" if op.kind in {"Affine", "Route"} else ""


def how(function: object) -> str:
    text = (getattr(function, "__doc__", None) or "").strip().splitlines()
    return text[0].replace("|", "\\|") if text else ""


def source(function: object) -> str:
    return SOURCES.get(getattr(function, "__module__", "").rpartition(".")[2], "")


def rows() -> Iterator[str]:
    for name in sorted({*OPS, *EXPANSIONS} - set(OWN)):
        if name in EXPANSIONS:
            if name == "Chunks":
                continue
            function = EXPANSIONS[name]
            what = "written out"
            yield f"| {name} | {what} | of its nodes | | {how(function)} | {source(function)} |"
            continue
        op = OPS[name]
        kind = {"-": "evaluated only"}.get(op.kind, op.kind)
        kind += " (Stop for floats)" if op.tokens else ""
        told = how(op.linearise) if op.kind != "-" else ""
        yield (
            f"| {name} | {kind} | {rule(op, name)} | {inputs(op)} | {told} | "
            f"{source(op.linearise) if op.kind in {'Affine', 'Route'} else ''} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    args = parser.parse_args()
    text = HEAD + "\n".join(rows()) + "\n"
    if args.check:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
