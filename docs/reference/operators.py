"""Write docs/reference/operators.md: what every operator is where relevance is concerned.

python docs/reference/operators.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from onnx import defs

from dftlrp.ops import EXPANSIONS, OPS, Op

CONTRIB = "com.microsoft."  # onnxruntime's own
NAMES = [
    n
    for n in {*OPS, *EXPANSIONS}
    if n.startswith(CONTRIB) or defs.has(n.rpartition(".")[2], n.rpartition(".")[0])
]
PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Operators

This page lists every ONNX operator that dftlrp knows, from opset 9 to the newest (older files are converted): which map it is,
and which rule stands there by default. `python docs/reference/operators.py` writes it from the table in the code.

* **Affine**: the operator is linear in its inputs at the current activations, and a rule shares its relevance. Where it has *no
  weights*, a rule that modifies weights is replaced by epsilon(0), and the table of layers shows that.
* **Route**: relevance is carried and never rescaled (movement, winners, activations).
* **Stop**: the operator carries no relevance (shapes, indices, comparisons).
* **written out**: the operator stands for other nodes, which run in its place.
* **evaluated only**: the operator is refused, by name, where it lies between the signal and the explained output.
* *Frozen* inputs are taken as constants; gradient x input (the preset Gradient) still counts them.

`Conv` and `ConvTranspose` get the preset's rule, and every other Affine gets epsilon. Of a product of two signals (`Mul`,
`MatMul`) the gate or the attention weights are frozen (the factor behind a Softmax, Sigmoid, HardSigmoid or Tanh, or the one that
is broadcast); where neither is a gate, both share by half. Under AttnLRP both share by half unless one is a normaliser's scale.
Nodes that are together one layer are recognised after the forward pass: Conv + (reshape) + Add, MatMul + Add, Mul + Add,
LayerNorm and Softmax written out, and elementwise functions of one value (GELU, SiLU, x * sigmoid(b x), x * x ...).

A quantised model is explained as the model on real numbers that it approximates: a layer on integers is written out as
DequantizeLinear, the layer on real numbers, QuantizeLinear, and has the rule of that layer; scales pass relevance unchanged. What
`quantize_static` (both formats) and `quantize_dynamic` of onnxruntime write is covered; another operator of `com.microsoft` is refused
by name. The output that is explained is compared with onnxruntime on the file, and a deviation is a warning with its size. The
correlation with the relevance of the float model was 0.976 to 1.000 (Gradient), 0.996 to 1.000 (EpsilonPlus) and 0.933 to 1.000
(Epsilon) on four small networks in five formats. On a processor without VNNI onnxruntime itself was off by 0.24 of the largest number
for a perceptron of uint8 activations and int8 weights, since its sums saturate there; what is explained is the file as ONNX defines it.

| operator | map | default rule | inputs | how | source |
|---|---|---|---|---|---|
"""


def name_rule(op: Op, name: str) -> str:
    """Return the rule that stands at the op by default."""
    if op.kind == "Route":
        return "carried"
    if op.kind != "Affine":
        return ""
    if not op.weighted:
        return "epsilon (no weights)"
    return "the preset's" if name in {"Conv", "ConvTranspose"} else "epsilon"


def describe_inputs(op: Op) -> str:
    """Return which inputs carry relevance, and which of these are frozen."""
    if op.kind not in {"Affine", "Route"}:
        return ""
    carry, product = op.inputs.carry, op.inputs.product
    carried = "any" if carry is None else ", ".join(map(str, carry))
    frozen = ", ".join(str(i) for i in op.inputs.frozen if carry is None or i in carry)
    told = f"; {frozen} frozen" if frozen else ""
    return f"{carried}{told}{'; one of two signals' if product else ''}"


def read_summary(function: object) -> str:
    """Return the first line of a function's docstring."""
    text = (getattr(function, "__doc__", None) or "").strip().splitlines()
    return text[0].replace("|", "\\|") if text else ""


def read_source(function: object) -> str:
    """Return the ``SOURCE`` that a function's file states, if it states one."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    return str(getattr(module, "SOURCE", ""))


def write_row(name: str) -> str:
    """Return an op's row of the table."""
    if name in EXPANSIONS:
        f = EXPANSIONS[name]
        return f"| {name} | written out | of its nodes | | {read_summary(f)} | {read_source(f)} |"
    op = OPS[name]
    kind = {"Evaluated": "evaluated only"}.get(op.kind, op.kind)
    kind += " (but for tokens)" if op.tokens else ""
    how = read_summary(op.linearise) if op.kind != "Evaluated" else ""
    source = read_source(op.linearise) if op.kind in {"Affine", "Route"} else ""
    return f"| {name} | {kind} | {name_rule(op, name)} | {describe_inputs(op)} | {how} | {source} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    args = parser.parse_args()
    text = HEAD + "".join(f"{write_row(name)}\n" for name in sorted(NAMES))
    if args.check:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
