"""``dftlrp neurons``: what the classes of a model are made of, over a data set."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dftlrp.cli.options import (
    add_command,
    add_options,
    find_model,
    parse_bindings,
    parse_pairs,
    read_labels,
)
from dftlrp.cli.printing import find_page, open_page, print_files, print_json
from dftlrp.core.names import list_some
from dftlrp.core.text import make_printable
from dftlrp.core.types import InputError

if TYPE_CHECKING:
    from dftlrp.concepts import Neurons

DESCRIPTION = """Find which neurons of a layer matter for each class, over all recordings of a
folder or of a CSV table (columns file, label), and what each neuron responds to.  Write
report.html, tables, arrays and sounds.  The label of a recording is the name of its folder, or
what --pattern says.  If the command is interrupted, run it again to continue."""


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "find the neurons that matter for each class, over a data set"
    p = add_command(commands, "neurons", _run_neurons, summary, DESCRIPTION)
    add_options(p, "model")
    p.add_argument("source", metavar="FOLDER_OR_CSV", help="the recordings")
    p.add_argument(
        "--layer",
        metavar="L",
        help="the layer, by its name; without it, all are listed",
    )
    p.add_argument(
        "--class", action="extend", nargs="+", default=[], dest="classes", metavar="C",
        help="labels or indices of classes; default: all that have recordings",
    )  # fmt: skip
    p.add_argument("--top", type=int, default=5, metavar="N", help="neurons to show of each class")
    p.add_argument(
        "--prototypes", type=int, default=5, metavar="N", help="recordings to show of each neuron"
    )
    p.add_argument(
        "--figure", action="store_true",
        help="also draw classes and neurons for print (PNG); the page needs no figures",
    )  # fmt: skip
    p.add_argument("--out", default="dftlrp-neurons", metavar="DIR", help="default: %(default)s")
    p.add_argument("--pattern", metavar="P", help="pattern of file names, as {label}_{take}.wav")
    p.add_argument(
        "--no-spectra", action="store_true",
        help="without spectra and maps of the classes: faster, since relevance stops at the layer",
    )  # fmt: skip
    p.add_argument("--seed-kind", default="logit", help="logit (default), contrast or one")
    p.add_argument(
        "--reference", nargs="+", default=["auto"], metavar="REF",
        help="what every recording is compared with: auto (default, as of explain), none, silence, "
        "recordings, or 'mean' and recordings, of which the mean is taken",
    )  # fmt: skip
    add_options(p, "--rate", "--labels", "--frontend", "--composite", "--rule", "--output")
    add_options(p, "--workers", "--scheduler", "--bind", "--backend", "--open", "--json")
    add_options(p, "--isolate")


def _run_neurons(args: argparse.Namespace) -> int:
    if args.layer is None:
        raise InputError(f"--layer is needed: choose one of {list_some(_name_layers(args))}")
    from dftlrp.concepts import neurons

    found = neurons(
        find_model(args.model),
        args.source,
        layer=args.layer,
        folder=args.out,
        classes=args.classes,
        top=args.top,
        count=args.prototypes,
        pattern=args.pattern,
        labels=read_labels(args.labels),
        rate=args.rate,
        frontend=args.frontend,
        composite=args.composite,
        overrides=parse_pairs(args.rule, "--rule"),
        seed=args.seed_kind,
        output=args.output,
        bind=parse_bindings(args.bind),
        backend=args.backend,
        reference=args.reference,
        spectra=not args.no_spectra,
        workers=args.workers,
        scheduler=args.scheduler,
    )
    written = found.save(args.out, figure=args.figure)
    if args.json:
        print_json("neurons", written, **found.to_dict())
    else:
        _print_neurons(found)
        print_files(written)
    if args.open:
        open_page(find_page(written))
    return 0


def _name_layers(args: argparse.Namespace) -> list[str]:
    """Return the layers with weights, from input to output, and their ops."""
    from dftlrp.engine.model import load

    table = load(find_model(args.model)).table(output=args.output)
    return [f"{la.key} ({la.op})" for la in table.layers if la.rule]


def _print_neurons(found: Neurons) -> None:
    for c in found.classes:
        neurons = ", ".join(map(str, found.strongest(c))) or "none"
        print(f"{make_printable(found.label(c))}: neurons {neurons}")
    for note in found.notes:
        print(f"  {make_printable(note)}")
    for name, why in found.survey.skipped:
        print(make_printable(f"  skipped {name}: {why}"))
    for failure in found.failures:
        reason = make_printable(failure.reason)
        print(f"  a part failed: {reason}; run the command again to retry it")
