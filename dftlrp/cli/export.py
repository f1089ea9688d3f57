"""``dftlrp export``."""

from __future__ import annotations

import argparse
from typing import Any

from dftlrp.cli.options import bindings, model_path, pairs, shapes, words

DESCRIPTION = """Write a model and its explanation as one ONNX file, which runs with plain
onnxruntime: it reads the model's input and a target, and gives the output and the relevance.  Its
metadata entry "dftlrp" says what each output means."""


def add_parser(commands: Any) -> None:
    """The command and its options."""
    p = commands.add_parser(
        "export", help="model and explanation as one file", description=DESCRIPTION
    )
    p.set_defaults(run=_export)
    p.add_argument("model", metavar="MODEL.onnx", help="an ONNX file, or an embedded model's name")
    p.add_argument("-o", "--out", required=True, metavar="EXPLAINED.onnx", help="file to write")
    p.add_argument("--composite", default="auto", help="preset of rules; default: auto")
    p.add_argument(
        "--batch", type=_batch, metavar="N",
        help="samples at a time: a number, or any; default: any where the model has it, else 1",
    )  # fmt: skip
    p.add_argument(
        "--domains", nargs="+", default=["time"], metavar="DOMAIN",
        help="any of time, frequency, time-frequency, input; default: time",
    )  # fmt: skip
    p.add_argument("--seed-kind", default="auto", help="auto, logit, contrast or one")
    p.add_argument("--output", metavar="NAME", help="which output of the model")
    for option, form in (("--rule", "LAYER=RULE"), ("--bind", "NAME=VALUE")):
        p.add_argument(option, action="append", default=[], metavar=form, help="as in explain")
    p.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1,2,3", help="as in inspect"
    )
    p.add_argument(
        "--mask", action="append", default=[], metavar="LAYER",
        help="relevance goes through this layer; its channels are an optional input",
    )  # fmt: skip
    p.add_argument("--frontend", metavar="FILE.toml", help="as in explain")


def _export(args: argparse.Namespace) -> int:
    from dftlrp.engine.model import load
    from dftlrp.tracing.export import export

    model = load(model_path(args.model))
    traced = export(
        model,
        args.out,
        composite=args.composite,
        overrides=pairs(args.rule, "--rule"),
        seed=args.seed_kind,
        output=args.output,
        bind=bindings(args.bind),
        batch=args.batch,
        shapes=shapes(args.shape),
        domains=words(args.domains),
        frontend=args.frontend,
        masks=args.mask,
    )
    for info in (*traced.model.graph.input, *traced.model.graph.output):
        shape = [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
        print(f"  {info.name:26} [{', '.join(map(str, shape))}]")
    print(f"  {args.out}")
    return 0


def _batch(text: str) -> int | str:
    """A number; what else it may be is for `export` to say."""
    return int(text) if text.isdecimal() else text
