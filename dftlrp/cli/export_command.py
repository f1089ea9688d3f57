"""``dftlrp export``: model and explanation as one ONNX file."""

from __future__ import annotations

import argparse
from typing import Any

from dftlrp.cli.options import (
    add_command,
    add_options,
    find_model,
    parse_bindings,
    parse_pairs,
    parse_shapes,
    split_words,
)
from dftlrp.cli.printing import print_json
from dftlrp.core.text import make_printable

DESCRIPTION = """Write a model and its explanation as one ONNX file that onnxruntime runs without
dftlrp.  The file reads the model's input and a target, and gives the output and the relevance.  Its
metadata entry "dftlrp" says what each output means."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "write a model and its explanation as one file"
    p = add_command(commands, "export", _run_export, summary, DESCRIPTION)
    add_options(p, "model", "--composite", "--rule", "--output", "--bind", "--shape", "--frontend")
    add_options(p, "--json", "--isolate")
    p.add_argument("-o", "--out", required=True, metavar="EXPLAINED.onnx", help="file to write")
    p.add_argument(
        "--batch", type=_parse_batch, metavar="N",
        help="samples that the file explains at a time: a number, or any; default: any where the "
        "model leaves its batch open, else 1",
    )  # fmt: skip
    p.add_argument(
        "--domains", nargs="+", default=["time"], metavar="DOMAIN",
        help="any of time, frequency, time-frequency, input; default: time",
    )  # fmt: skip
    p.add_argument("--seed-kind", default="auto", help="auto (default), logit, contrast or one")
    p.add_argument(
        "--reference", default="auto",
        help="auto (default), silence or none: what the score is compared with",
    )  # fmt: skip
    p.add_argument(
        "--mask", action="append", default=[], metavar="LAYER",
        help="keep only the relevance that goes through channels of this layer, which become an "
        "optional input of the file; may be repeated",
    )  # fmt: skip


def _run_export(args: argparse.Namespace) -> int:
    from dftlrp.engine.model import load
    from dftlrp.tracing.export import export

    traced = export(
        load(find_model(args.model)),
        args.out,
        composite=args.composite,
        overrides=parse_pairs(args.rule, "--rule"),
        seed=args.seed_kind,
        output=args.output,
        bind=parse_bindings(args.bind),
        batch=args.batch,
        shapes=parse_shapes(args.shape),
        domains=split_words(args.domains),
        frontend=args.frontend,
        masks=args.mask,
        reference=args.reference,
    )
    graph = traced.model.graph
    inputs, outputs = (dict(map(_read_shape, values)) for values in (graph.input, graph.output))
    if args.json:
        print_json("export", [args.out], inputs=inputs, outputs=outputs)
        return 0
    for name, shape in {**inputs, **outputs}.items():
        print(make_printable(f"  {name:26} [{', '.join(map(str, shape))}]"))
    print(make_printable(f"  {args.out}"))
    return 0


def _read_shape(value: Any) -> tuple[str, list[str | int]]:
    """Return the name of a value of the file, and its shape."""
    return value.name, [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def _parse_batch(text: str) -> int | str:
    """Return a number; `export` refuses what is neither a number nor ``any``."""
    return int(text) if text.isdecimal() else text
