"""``dftlrp explain MODEL --features FILE.npy``: why, in the features that a model reads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dftlrp.cli.answering import list_options, refuse_overwriting, verify_answer, write_answers
from dftlrp.core.types import InputError

OF_RECORDINGS = {  # options, by their names in the arguments, that say how a recording is read
    "channels": "--channels", "rate": "--rate", "frontend": "--frontend", "at": "--at",
    "window": "--window", "state": "--state", "chunk": "--chunk", "context": "--context",
    "through": "--through", "hop": "--hop", "top": "--top", "start": "--from", "stop": "--to",
    "crop": "--crop",
}  # fmt: skip
LEFT_OUT = ("rate", "domains", "masks", "frontend", "channels")  # of the options of `explain`


def add_features(p: argparse.ArgumentParser) -> None:
    """Add the option."""
    p.add_argument(
        "--features", metavar="FILE.npy",
        help="in place of a recording: the features that the model reads, which are explained",
    )  # fmt: skip


def run_features(args: argparse.Namespace, asked: Sequence[tuple[str, str]]) -> int:
    """Explain features for each pair of a target and a method; return the exit code."""
    if len(args.files) != (0 if args.model else 1):
        raise InputError(f"--features {args.features}: name the model, and no recording")
    for name, option in OF_RECORDINGS.items():
        if getattr(args, name, None):
            raise InputError(f"{option} is for a recording: leave it out beside --features")
    args.out = "dftlrp-out" if args.out is None else args.out
    refuse_overwriting([args.features], args)
    from dftlrp.attribution.array_explanation import explain_features
    from dftlrp.engine.model import load

    model = load(args.files[0] if args.files else args.model)
    found = []
    for target, method in asked:
        options = list_options(target, method, {}, args)
        own = {name: value for name, value in options.items() if name not in LEFT_OUT}
        one = explain_features(model, args.features, **own)
        found.append(verify_answer(one) if args.verify else one)
    if len({one.label for one in found}) < len(found) and args.versus is not None:
        raise InputError(f"--versus {args.versus}: the same class as the target")
    write_answers(found, args, None)
    return 0
