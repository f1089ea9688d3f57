"""``dftlrp explain``: one output of a model for one recording."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.assets import MODELS, embedded
from dftlrp.cli.options import (
    add_command,
    add_options,
    parse_bindings,
    parse_channels,
    parse_pairs,
    read_labels,
    split_words,
)
from dftlrp.cli.printing import find_page, open_page, print_explanations, print_files, print_json
from dftlrp.core.files import locate
from dftlrp.core.types import InputError
from dftlrp.results.views import DEFAULT, DOMAINS, INPUT

if TYPE_CHECKING:
    from dftlrp.engine.model import Model

OTHERS = ("gradient", "integrated-gradients", "smoothgrad", "occlusion", "shapley", "rise")
DESCRIPTION = """Explain one output of a model for one recording, and write report.html,
explanation.npz, tables (CSV) and sounds.  Without MODEL and CLIP the embedded digit classifier
explains the embedded recording; with CLIP alone it explains that one.  --model names another
model.  Several recordings, a folder, or a CSV table (column file, and label if known) are all
explained: index.html lists them, each has a folder of its own, and if the command is interrupted,
run it again to continue."""
FOLDER = "dftlrp-explanations"


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    summary = "explain one output, for one recording or for each of a folder"
    p = add_command(commands, "explain", _run_explain, summary, DESCRIPTION)
    p.add_argument(
        "files", nargs="*", metavar="MODEL.onnx CLIP",
        help="a model, and a recording; or several: folders, files and CSV tables",
    )  # fmt: skip
    p.add_argument(
        "--model", metavar="NAME", help=f"embedded model ({', '.join(MODELS)}), or an ONNX file"
    )
    p.add_argument(
        "--target", default="argmax", help="index or label of a class; default: the largest output"
    )
    p.add_argument("--versus", metavar="M", help="a second class, to explain side by side")
    p.add_argument(
        "--seed-kind", default="auto", help="auto (default), logit, contrast, contrast:CLASS or one"
    )
    p.add_argument(
        "--method", nargs="+", default=["lrp"], metavar="METHOD",
        help=f"how relevance is computed: lrp (default), {', '.join(OTHERS)}; with numbers as in "
        "'integrated-gradients(steps=64)', see docs/methods.md; two are shown side by side",
    )  # fmt: skip
    p.add_argument(
        "--reference", nargs="+", default=["auto"], metavar="REF",
        help="what the score is compared with: auto (default: silence, or none where the model has "
        "attention and beside a --composite), silence, none, noise with the recording's spectrum, "
        "recordings, or 'mean' and recordings, of which the mean is taken",
    )  # fmt: skip
    add_options(p, "--composite", "--rule")
    p.add_argument("--table", action="store_true", help="also print the rule of every layer")
    p.add_argument(
        "--domains", nargs="+", default=DEFAULT, metavar="DOMAIN",
        help=f"any of {', '.join(DOMAINS)} ({INPUT}: what the model itself reads)",
    )  # fmt: skip
    p.add_argument(
        "--verify", action="store_true",
        help="ask the model what it says without the most and the least relevant tenth",
    )  # fmt: skip
    p.add_argument(
        "--figure", nargs="?", const="png", choices=("png", "svg"),
        help="also draw a figure for print: png (default) or svg",
    )  # fmt: skip
    p.add_argument(
        "--out", metavar="DIR",
        help=f"default: dftlrp-out; of several recordings {FOLDER}",
    )  # fmt: skip
    p.add_argument(
        "--force", action="store_true",
        help="write into a folder that holds other files, too; none of them is replaced",
    )  # fmt: skip
    p.add_argument(
        "--pattern", metavar="P",
        help="of several recordings: where their labels are, as {label}_{take}.wav; default: the "
        "table, or folders that are named as classes",
    )  # fmt: skip
    add_options(p, "--workers", "--scheduler")
    add_options(p, "--open", "--json")
    add_options(p, "--labels", "--rate", "--frontend", "--output", "--bind", "--backend")
    add_options(p, "--isolate")
    p.add_argument(
        "--at", type=float, metavar="SECONDS",
        help="of a model that keeps a state from chunk to chunk: the moment that is explained; "
        "default: where the target is strongest",
    )  # fmt: skip
    p.add_argument(
        "--window", type=float, metavar="SECONDS",
        help="of such a model: how much of the recording before that moment is explained; default: "
        "up to 2",
    )  # fmt: skip
    p.add_argument(
        "--channels", nargs="+", default=[], metavar="NAME",
        help="which channels of a file the model reads, in this order: II V1, or II,V1",
    )  # fmt: skip
    p.add_argument(
        "--state", action="append", default=[], metavar="INPUT=OUTPUT",
        help="an input that keeps the state of a streaming model, and the output that is its next "
        "value, where they are not recognised; may be repeated",
    )  # fmt: skip
    p.add_argument(
        "--chunk", type=int, metavar="N", help="new samples (frames) that each run of it reads"
    )
    p.add_argument(
        "--context", type=int, metavar="N", help="samples before its chunk that it reads again"
    )
    p.add_argument(
        "--through", action="append", default=[], metavar="LAYER=125,3",
        help="keep only the relevance that goes through these channels of a layer; without numbers "
        "only what goes past the layer; repeated, all conditions hold",
    )  # fmt: skip


def _split_files(files: Sequence[str], named: str | None) -> tuple[str | Path, list[str | Path]]:
    """Return the model and the recordings; the embedded ones where none is given."""
    if named and not named.endswith(".onnx") and named not in MODELS:
        raise InputError(f"--model {named!r}: embedded are {', '.join(MODELS)}")
    if len(files) == 1 and files[0].endswith(".onnx"):
        raise InputError(f"{files[0]}: a recording is needed beside the model")
    if named:
        model = named if named.endswith(".onnx") else embedded(named)
        return model, [*files] or [embedded("clip")]
    if len(files) > 1 and not _is_source(files[0]):
        return files[0], [*files[1:]]
    return embedded("waveform"), [*files] or [embedded("clip")]


def _is_source(name: str) -> bool:
    """Return whether a name rather means recordings than a model."""
    from dftlrp.attribution.sources import SUFFIXES, is_many

    return is_many([name]) or Path(name).suffix.lower() in SUFFIXES


def _refuse_overwriting(clip: Path, out: str) -> None:
    """Refuse a folder in which a result would replace the recording."""
    from dftlrp.results.saving import is_result

    if not out:
        raise InputError("--out is empty: name a folder for the results")
    if locate(clip).resolve().parent == locate(out).resolve() and is_result(clip.name):
        raise InputError(f"--out {out}: a result would replace the recording {clip}")


def _run_explain(args: argparse.Namespace) -> int:
    from dftlrp.attribution.sources import is_many
    from dftlrp.results.result_folder import refuse_other_files
    from dftlrp.tracing.isolation import prepare_child

    path, sources = _split_files(args.files, args.model)
    if len(sources) > 1 or (args.files and is_many(sources)):
        from dftlrp.cli.many_recordings import run_many

        return run_many(args, path, sources, FOLDER)
    (clip,) = sources
    args.out = "dftlrp-out" if args.out is None else args.out
    _refuse_overwriting(Path(clip), args.out)
    refuse_other_files(args.out, force=args.force)
    prepare_child()  # which takes as long as the imports below

    from dftlrp.attribution.explain import explain
    from dftlrp.engine.model import load
    from dftlrp.results.saving import save

    model = load(path)
    if args.state or args.chunk is not None or args.context is not None:
        states = parse_pairs(args.state, "--state")
        model = model.streaming(states, args.chunk, args.context)
    masks = _make_masks(model, clip, args) if args.through else {}
    asked = _list_asked(args)
    explanations, at = list[Any](), args.at
    for target, method in asked:
        one = explain(
            model,
            clip,
            target=target,
            rate=args.rate,
            seed=args.seed_kind,
            **_choose_rules(args, method),
            labels=read_labels(args.labels),
            output=args.output,
            bind=parse_bindings(args.bind),
            domains=split_words(args.domains),
            backend=args.backend,
            masks=masks,
            method=method,
            reference=args.reference if len(args.reference) > 1 else args.reference[0],
            frontend=args.frontend,
            at="strongest" if at is None else at,
            window=args.window,
            channels=split_words(args.channels),
        )
        explanations.append(one)
        at = one.provenance.get("stream", {}).get("at", at)  # both are of the same moment
    if len(args.method) > 1:
        explanations = [
            replace(one, label=f"{one.label} by {method}")
            for one, method in zip(explanations, args.method, strict=True)
        ]
    if len({one.label for one in explanations}) < len(explanations):
        raise InputError(f"--versus {args.versus}: the same class as the target")
    checked = [f"verified: {one.verify()}" for one in explanations] if args.verify else []
    if checked:
        explanations = [
            replace(one, notes=(*one.notes, line))
            for one, line in zip(explanations, checked, strict=True)
        ]
    written = save(explanations, args.out, args.figure)
    if args.json:
        print_json("explain", written, explanations=[one.to_dict() for one in explanations])
    else:
        print_explanations(explanations, args.table)
        print_files(written)
    if args.open:
        open_page(find_page(written))
    return 0


def _list_asked(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return target and method of each explanation."""
    methods = args.method
    if len(methods) > 2 or (len(methods) == 2 and args.versus is not None):
        raise InputError(
            "--method: two methods for one class, or two classes (--versus) by one method, are "
            "shown side by side"
        )
    if len(set(methods)) < len(methods):
        raise InputError(f"--method {methods[0]} {methods[1]}: the same method twice")
    if args.versus is not None:
        return [(args.target, methods[0]), (args.versus, methods[0])]
    return [(args.target, method) for method in methods]


def _choose_rules(args: argparse.Namespace, method: str) -> dict[str, Any]:
    """Return composite and rules; of two methods, only one that has rules is given them."""
    from dftlrp.attribution.methods import read_method

    if len(args.method) > 1 and not read_method(method).kind.by_rules:
        return {}
    return {"composite": args.composite, "overrides": parse_pairs(args.rule, "--rule")}


def _make_masks(model: Model, clip: str | Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the masks of ``--through``, by layer."""
    from dftlrp.attribution.streaming import settle_inputs
    from dftlrp.concepts import masks_through

    bind = parse_bindings(args.bind)
    reading = settle_inputs(model, clip, args.rate, args.frontend, bind, args.output)
    if reading.stream is not None:
        raise InputError("--through: not of a model that keeps a state from chunk to chunk")
    return masks_through(
        reading.model, clip, parse_channels(args.through), rate=args.rate, output=args.output,
        bind=reading.bound, composite=args.composite,
        overrides=parse_pairs(args.rule, "--rule"),
        reference=args.reference if len(args.reference) > 1 else args.reference[0],
    )  # fmt: skip
