"""What ``explain`` and ``compare`` share: the question that a model is asked, and its answer."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.cli.given import check_classes
from dftlrp.cli.options import (
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
    from dftlrp.results.explanation import Explanation

OTHERS = ("gradient", "integrated-gradients", "smoothgrad", "occlusion", "shapley", "rise")


def add_question(p: argparse.ArgumentParser) -> list[str]:
    """Add the options that say how a model is asked; return their names in the arguments."""
    before = {action.dest for action in p._actions}
    p.add_argument(
        "--seed-kind", default="auto", help="auto (default), logit, contrast, contrast:CLASS or one"
    )
    p.add_argument(
        "--method", nargs="+", default=["lrp"], metavar="METHOD",
        help=f"how relevance is computed: lrp (default), {', '.join(OTHERS)}; with numbers as in "
        "'integrated-gradients(steps=64)', docs/reference/methods.md; two are shown side by side",
    )  # fmt: skip
    p.add_argument(
        "--reference", nargs="+", default=["auto"], metavar="REF",
        help="what the score is compared with: auto (default: silence, or none where the model has "
        "attention and beside a --composite), silence, none, noise with the recording's spectrum, "
        "recordings, or 'mean' and recordings, of which the mean is taken",
    )  # fmt: skip
    add_options(p, "--composite", "--rule")
    p.add_argument(
        "--domains", nargs="+", default=DEFAULT, metavar="DOMAIN",
        help=f"any of {', '.join(DOMAINS)} ({INPUT}: what the model itself reads)",
    )  # fmt: skip
    p.add_argument(
        "--verify", action="store_true",
        help="ask the model what it says without the most and the least relevant tenth",
    )  # fmt: skip
    add_options(p, "--labels", "--rate", "--frontend", "--output", "--bind", "--backend")
    p.add_argument(
        "--at", type=float, metavar="SECONDS",
        help="of a recording that is longer than the model reads at once: the moment that is "
        "explained; default: where the target is strongest",
    )  # fmt: skip
    p.add_argument(
        "--window", type=float, metavar="SECONDS",
        help="how much of a longer recording a model reads that takes any length; of a model that "
        "keeps a state from chunk to chunk, how much before the moment is explained (default: up "
        "to 2)",
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
    return [action.dest for action in p._actions if action.dest not in before]


def add_results(p: argparse.ArgumentParser, folder: str | None, told: str = "") -> None:
    """Add the options that say what is written, and where."""
    p.add_argument(
        "--figure", nargs="?", const="png", choices=("png", "svg"),
        help="also draw a figure for print: png (default) or svg",
    )  # fmt: skip
    p.add_argument("--out", default=folder, metavar="DIR", help=told or "default: %(default)s")
    p.add_argument(
        "--force", action="store_true",
        help="write into a folder that holds other files, too; none of them is replaced",
    )  # fmt: skip
    add_options(p, "--open", "--json", "--isolate")


def refuse_overwriting(files: Sequence[str | Path], args: argparse.Namespace) -> None:
    """Refuse a folder in which a result would replace a file that is read, or of other files."""
    from dftlrp.results.result_folder import refuse_other_files
    from dftlrp.results.saving import is_result

    if not args.out:
        raise InputError("--out is empty: name a folder for the results")
    for file in map(Path, files):
        if locate(file).resolve().parent == locate(args.out).resolve() and is_result(file.name):
            raise InputError(f"--out {args.out}: a result would replace {file}, which is read")
    refuse_other_files(args.out, force=args.force)


def open_model(path: str | Path, args: argparse.Namespace) -> Model:
    """Return a model, a streaming one with its states."""
    from dftlrp.engine.model import load

    model = load(path)
    if args.state or args.chunk is not None or args.context is not None:
        states = parse_pairs(args.state, "--state")
        model = model.streaming(states, args.chunk, args.context)
    return model


def ask_model(
    model: Model, clip: str | Path, asked: Sequence[tuple[str, str]], args: argparse.Namespace
) -> list[Explanation]:
    """Return an explanation of a recording for each pair of a target and a method."""
    from dftlrp.attribution.explain import explain

    targets = list(dict.fromkeys(target for target, _ in asked))
    check_classes(model, args.output, read_labels(args.labels), targets)
    masks = make_masks(model, clip, args)
    found: list[Explanation] = []
    at = "loudest" if getattr(args, "crop", None) else "strongest" if args.at is None else args.at
    for target, method in asked:
        options = list_options(target, method, masks, args)
        one = explain(model, clip, **options, at=at, window=args.window)
        found.append(one)
        place = one.provenance.get("stream") or one.provenance.get("window") or {}
        at = place.get("at", at)  # all are of the same moment
    return [verify_answer(one) for one in found] if args.verify else found


def list_options(
    target: str, method: str, masks: dict[str, Any], args: argparse.Namespace
) -> dict[str, Any]:
    """Return the keyword arguments of `dftlrp.explain` but for its ``at`` and ``window``."""
    return {
        "target": target,
        "rate": args.rate,
        "seed": args.seed_kind,
        **_choose_rules(args, method),
        "labels": read_labels(args.labels),
        "output": args.output,
        "bind": parse_bindings(args.bind),
        "domains": split_words(args.domains),
        "backend": args.backend,
        "masks": masks,
        "method": method,
        "reference": _read_reference(args),
        "frontend": args.frontend,
        "channels": split_words(args.channels),
    }


def verify_answer(one: Explanation) -> Explanation:
    """Return an explanation that says what the model says without its strongest parts."""
    return replace(one, notes=(*one.notes, f"verified: {one.verify()}"))


def _read_reference(args: argparse.Namespace) -> Any:
    return args.reference if len(args.reference) > 1 else args.reference[0]


def _choose_rules(args: argparse.Namespace, method: str) -> dict[str, Any]:
    """Return composite and rules; of two methods, only one that has rules is given them."""
    from dftlrp.attribution.methods import read_method

    if len(args.method) > 1 and not read_method(method).kind.by_rules:
        return {}
    return {"composite": args.composite, "overrides": parse_pairs(args.rule, "--rule")}


def make_masks(model: Model, clip: str | Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the masks of ``--through``, by layer."""
    if not args.through:
        return {}
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
        reference=_read_reference(args),
    )  # fmt: skip


def write_answers(
    explanations: Sequence[Explanation], args: argparse.Namespace, names: Sequence[str] | None
) -> None:
    """Write the results of one explanation, or of several side by side, and print what they say."""
    from dftlrp.results.comparison import compare

    both = compare(*explanations, names=names) if len(explanations) > 1 else None
    written = (both or explanations[0]).save(args.out, args.figure)
    labels = both.labels if both else (explanations[0].label,)
    if args.json:
        differing = {"names": labels, "differences": both.to_dict()} if both else {}
        told = [one.to_dict() for one in explanations]
        print_json(args.command, written, explanations=told, **differing)
    else:
        print_explanations(explanations, labels, getattr(args, "table", False))
        if both:
            print(both)
        print_files(written)
    if args.open:
        open_page(find_page(written))
