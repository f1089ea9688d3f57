"""``dftlrp evaluate``: which explanation of a model is right, over a data set."""

from __future__ import annotations

import argparse
from itertools import product
from typing import TYPE_CHECKING, Any

from dftlrp.cli.options import (
    add_command,
    add_options,
    find_model,
    parse_bindings,
    parse_pairs,
    read_labels,
    split_words,
)
from dftlrp.cli.printing import find_page, open_page, print_files, print_json
from dftlrp.core.text import make_printable
from dftlrp.core.types import InputError

if TYPE_CHECKING:
    from dftlrp.evaluation.data_set import Evaluation

DESCRIPTION = """Compare explanations of a model by experiments: remove what they call relevant from
the recordings of a folder or of a CSV table (column file, and label where labels are explained),
and look at the score.  --composite, --seed-kind, --method and --reference take several values, of
which all combinations are compared, with gradient x input, occlusion, amplitude and random order
beside.  Write report.html, evaluation.json and faithfulness.csv.  If the command is interrupted,
run it again to continue."""
ASKED = {"composite": "composite", "seed_kind": "seed", "method": "method",
         "reference": "reference"}  # fmt: skip


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "compare explanations by experiments on the model, over a data set"
    p = add_command(commands, "evaluate", _run_evaluate, summary, DESCRIPTION)
    add_options(p, "model")
    p.add_argument("source", metavar="RECORDINGS", help="a folder or a CSV table")
    for name, argument in ASKED.items():
        p.add_argument(
            f"--{name.replace('_', '-')}", nargs="+", default=[], metavar="V",
            help=f"one or several values of {argument} of dftlrp.explain, to compare",
        )  # fmt: skip
    p.add_argument(
        "--target", default="argmax", choices=("argmax", "label"),
        help="what is explained: the largest output (default), or the class of the label",
    )  # fmt: skip
    p.add_argument("--domains", nargs="+", metavar="D", help="where units are removed: time, "
                   "frequency, time-frequency (default: all three), input")  # fmt: skip
    p.add_argument("--replace", nargs="+", metavar="R", help="what takes their place: zero, noise, "
                   "stationary (default: all three), mean")  # fmt: skip
    p.add_argument("--checks", nargs="+", metavar="C", help="faithfulness, complexity, stability, "
                   "sound (default: all four), randomisation")  # fmt: skip
    p.add_argument("--units", action="append", default=[], metavar="DOMAIN=N",
                   help="number of units in a domain; may be repeated")  # fmt: skip
    p.add_argument("--limit", type=int, metavar="N", help="recordings at most, evenly spread")
    p.add_argument("--pattern", metavar="P", help="pattern of file names, as {label}_{take}.wav")
    p.add_argument("--out", default="dftlrp-evaluation", metavar="DIR", help="default: %(default)s")
    add_options(p, "--open", "--json")
    add_options(p, "--rate", "--labels", "--frontend", "--rule", "--output")
    add_options(p, "--workers", "--scheduler", "--bind", "--backend", "--isolate")


def _run_evaluate(args: argparse.Namespace) -> int:
    from dftlrp.evaluation.data_set import evaluate
    from dftlrp.evaluation.evaluation_page import describe_in_json

    given = {"domains": args.domains, "replacements": args.replace, "checks": args.checks}
    found = evaluate(
        find_model(args.model),
        args.source,
        folder=args.out,
        variants=_combine(args),
        target=args.target,
        count=_parse_counts(args.units),
        limit=args.limit,
        pattern=args.pattern,
        labels=read_labels(args.labels),
        rate=args.rate,
        frontend=args.frontend,
        output=args.output,
        bind=parse_bindings(args.bind),
        workers=args.workers,
        scheduler=args.scheduler,
        **{k: split_words(v) for k, v in given.items() if v},
    )
    written = found.save(args.out)
    if args.json:
        print_json("evaluate", written, **describe_in_json(found))
    else:
        _print_evaluation(found)
        print_files(written)
    if args.open:
        open_page(find_page(written))
    return 0


def _combine(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return all combinations of the values given, by name; ``default`` where none is given."""
    asked = {ASKED[k]: v for k in ASKED if (v := split_words(getattr(args, k)))}
    common = {"overrides": parse_pairs(args.rule, "--rule"), "backend": args.backend}
    shared = {k: v for k, v in common.items() if v}
    rows = [dict(zip(asked, values, strict=True)) for values in product(*asked.values())]
    return {_name_variant(row): {**row, **shared} for row in rows}


def _name_variant(row: dict[str, str]) -> str:
    """Return its values; with what they are, if one alone has the name of what is beside."""
    from dftlrp.evaluation.experiment import BESIDE

    name = " ".join(row.values()) or "default"
    return f"{next(iter(row))} {name}" if name in BESIDE else name


def _parse_counts(items: list[str]) -> dict[str, int]:
    found = dict[str, int]()
    for domain, text in parse_pairs(items, "--units").items():
        if not text.isdecimal():
            raise InputError(f"--units {domain}={text}: write it as DOMAIN=N")
        found[domain] = int(text)
    return found


def _print_evaluation(found: Evaluation) -> None:
    from dftlrp.evaluation.evaluation_page import list_verdicts

    wide = max(len(name) for name in found.experiment.candidates)
    for cell in found.cells:
        span = f"{cell.span.mean:.3g} ± {cell.span.error:.2g}"
        print(f"{cell.domain}, replaced by {cell.replacement} (span {span}): SRG")
        for name, srg in cell.srg.items():
            print(f"  {make_printable(name):{wide}}  {srg.mean:7.3f} ± {srg.error:.3f}")
    for name, figures in found.sound.items():
        told = ", ".join(f"{k} {f.mean:.3g}" for k, f in figures.items())
        print(f"sound by {make_printable(name)}: {told}")
    for line in (*list_verdicts(found), *found.warnings, *found.notes):
        print(f"  {make_printable(line)}")
    for name, why in found.skipped:
        print(make_printable(f"  skipped {name}: {why}"))
