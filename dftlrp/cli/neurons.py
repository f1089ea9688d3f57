"""``dftlrp neurons``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.cli.options import bindings, labels, model_path, pairs

if TYPE_CHECKING:
    from dftlrp.concepts.neurons import Neurons

DESCRIPTION = """Which neurons of a layer each class is made of, over all recordings of a folder or
a CSV table (columns file, label), and what each neuron listens to: report.html, tables, pictures,
sounds.  A label is the name of a recording's folder, or what --pattern says.  Interrupted, the same
command goes on."""


def add_parser(commands: Any) -> None:
    """The command and its options."""
    p = commands.add_parser(
        "neurons", help="what classes are made of, over a data set", description=DESCRIPTION
    )
    p.set_defaults(run=_neurons)
    p.add_argument("model", metavar="MODEL.onnx", help="an ONNX file, or an embedded model's name")
    p.add_argument("source", metavar="FOLDER_OR_CSV", help="the recordings")
    p.add_argument("--layer", required=True, metavar="L", help="as dftlrp inspect names it")
    p.add_argument(
        "--class", action="extend", nargs="+", default=[], dest="classes", metavar="C",
        help="labels or indices; default: all that have recordings",
    )  # fmt: skip
    p.add_argument("--top", type=int, default=5, metavar="N", help="neurons of each class")
    p.add_argument("--prototypes", type=int, default=5, metavar="N", help="recordings of each")
    p.add_argument("--out", default="dftlrp-neurons", metavar="DIR", help="default: %(default)s")
    p.add_argument("--pattern", metavar="P", help="of file names, as {label}_{take}.wav")
    p.add_argument(
        "--rate", type=float, metavar="HZ", help="rate the model reads, if it does not say"
    )
    p.add_argument("--labels", metavar="FILE", help="class names: one a line, or a JSON list")
    p.add_argument("--frontend", metavar="FILE.toml", help="as in explain")
    p.add_argument("--composite", default="auto", help="preset of rules; default: auto")
    p.add_argument("--seed-kind", default="logit", help="logit (default), contrast or one")
    p.add_argument("--output", metavar="NAME", help="which output of the model")
    for option, form in (("--rule", "LAYER=RULE"), ("--bind", "NAME=VALUE")):
        p.add_argument(option, action="append", default=[], metavar=form, help="as in explain")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes; default: 1")
    p.add_argument(
        "--scheduler", metavar="ADDRESS", help="of dask.distributed, tcp://host:8786, instead"
    )
    p.add_argument("--backend", help="as in explain")


def _neurons(args: argparse.Namespace) -> int:
    from dftlrp.concepts import neurons

    found = neurons(
        model_path(args.model),
        args.source,
        layer=args.layer,
        folder=args.out,
        classes=args.classes,
        top=args.top,
        count=args.prototypes,
        pattern=args.pattern,
        labels=labels(args.labels),
        rate=args.rate,
        frontend=args.frontend,
        composite=args.composite,
        overrides=pairs(args.rule, "--rule"),
        seed=args.seed_kind,
        output=args.output,
        bind=bindings(args.bind),
        backend=args.backend,
        workers=args.workers,
        scheduler=args.scheduler,
    )
    written = found.save(args.out)
    _print(found, written)
    return 0


def _print(found: Neurons, written: list[Path]) -> None:
    for c in found.classes:
        print(f"{found.label(c)}: neurons {', '.join(map(str, found.strongest(c))) or 'none'}")
    for note in found.notes:
        print(f"  {note}")
    for name, why in found.survey.skipped:
        print(f"  skipped {name}: {why}")
    for failure in found.failures:
        print(f"  no result: {failure.reason}; the same command tries again")
    for file in written:
        print(f"  {file}")
