"""``dftlrp explain``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dftlrp.assets import MODELS, embedded
from dftlrp.cli.options import bindings, labels, pairs, through, words
from dftlrp.core.types import InputError

if TYPE_CHECKING:
    from dftlrp.engine.model import Model

DESCRIPTION = """Explain one output of a model for one recording, and write report.html, figure.png,
explanation.npz, tables (CSV) and the sounds.  Without MODEL and CLIP the embedded digit classifier
explains the embedded clip; with CLIP alone it explains that one.  --model names another one."""


def add_parser(commands: Any) -> None:
    """The command and its options."""
    p = commands.add_parser(
        "explain", help="explain one output for one recording", description=DESCRIPTION
    )
    p.set_defaults(run=_explain)
    p.add_argument("files", nargs="*", metavar="MODEL.onnx CLIP", help="a model and a recording")
    p.add_argument(
        "--model",
        metavar="NAME",
        help="embedded model (waveform, spectrum, stft, mel), or an ONNX file",
    )
    p.add_argument(
        "--frontend", metavar="FILE.toml",
        help="how a waveform becomes what the model reads; default: MODEL.toml where it is there",
    )  # fmt: skip
    p.add_argument("--target", default="argmax", help="index or label; default: the largest output")
    p.add_argument("--versus", metavar="M", help="a second class to explain side by side")
    p.add_argument("--composite", default="auto", help="preset of rules; default: auto")
    p.add_argument(
        "--rule", action="append", default=[], metavar="LAYER=RULE",
        help="override, as first=flat, Conv='gamma(0.1)' or conv3=epsilon; may be repeated",
    )  # fmt: skip
    p.add_argument("--table", action="store_true", help="also print the rule of every layer")
    p.add_argument(
        "--domains", nargs="+", default=["time", "frequency", "time-frequency"], metavar="DOMAIN",
        help="any of time, frequency, time-frequency, mel, input (what the model itself reads)",
    )  # fmt: skip
    p.add_argument("--out", default="dftlrp-out", metavar="DIR", help="default: %(default)s")
    p.add_argument(
        "--seed-kind", default="auto", help="auto, logit, contrast, contrast:CLASS or one"
    )
    p.add_argument("--labels", metavar="FILE", help="class names: one a line, or a JSON list")
    p.add_argument(
        "--rate", type=float, metavar="HZ", help="rate the model reads, if it does not say"
    )
    p.add_argument("--output", metavar="NAME", help="which output of the model")
    p.add_argument(
        "--bind", action="append", default=[], metavar="NAME=VALUE",
        help="value of an input that is a setting; may be repeated",
    )  # fmt: skip
    p.add_argument(
        "--state", action="append", default=[], metavar="INPUT=OUTPUT",
        help="a state that the model keeps from chunk to chunk; may be repeated, needs --chunk",
    )  # fmt: skip
    p.add_argument("--chunk", type=int, metavar="N", help="samples that each chunk goes on by")
    p.add_argument(
        "--context", type=int, default=0, metavar="N", help="samples that a chunk reads again"
    )
    p.add_argument(
        "--through", action="append", default=[], metavar="LAYER=125,3",
        help="only what goes through these channels of a layer; without numbers: what goes past "
        "it; may be repeated (and)",
    )  # fmt: skip
    p.add_argument("--backend", help="onnx (default where it can), numpy: the float64 reference")


def _files(files: Sequence[str], named: str | None) -> tuple[str | Path, str | Path]:
    """Model and recording; what is not given is embedded."""
    if len(files) > (1 if named else 2):
        raise InputError(f"{len(files)} files given: a model and a recording are needed")
    if len(files) == 1 and files[0].endswith(".onnx"):
        raise InputError(f"{files[0]}: a recording is needed beside the model")
    clip = files[-1] if files else embedded("clip")
    if named:
        if not named.endswith(".onnx") and named not in MODELS:
            raise InputError(f"--model {named!r}: embedded are {', '.join(MODELS)}")
        return named if named.endswith(".onnx") else embedded(named), clip
    return files[0] if len(files) == 2 else embedded("waveform"), clip


def _spare(clip: Path, out: str) -> None:
    """Refuse a folder in which a result would take the place of the recording."""
    from dftlrp.results.folder import ours

    if not out:
        raise InputError("--out is empty: name a folder for the results")
    if clip.resolve().parent == Path(out).resolve() and ours(clip.name):
        raise InputError(f"--out {out}: a result would replace the recording {clip}")


def _explain(args: argparse.Namespace) -> int:
    from dftlrp.attribution.explain import explain
    from dftlrp.engine.model import behind_front_end, load
    from dftlrp.results.folder import save

    path, clip = _files(args.files, args.model)
    _spare(Path(clip), args.out)
    model = load(path)
    if args.chunk or args.state:
        states = pairs(args.state, "--state")
        model = model.chained(states, args.chunk or 0, args.context, output=args.output)
    model = behind_front_end(model, args.frontend)
    masks = _masks(model, clip, args)
    targets = [args.target] if args.versus is None else [args.target, args.versus]
    explanations = [
        explain(
            model,
            clip,
            target=target,
            rate=args.rate,
            seed=args.seed_kind,
            composite=args.composite,
            overrides=pairs(args.rule, "--rule"),
            labels=labels(args.labels),
            output=args.output,
            bind=bindings(args.bind),
            domains=words(args.domains),
            backend=args.backend,
            masks=masks,
        )
        for target in targets
    ]
    if len({one.label for one in explanations}) < len(explanations):
        raise InputError(f"--versus {args.versus}: the same class as the target")
    written = save(explanations, args.out)
    _print(explanations, args.table)
    for file in written:
        print(f"  {file}")
    return 0


def _masks(model: Model, clip: str | Path, args: argparse.Namespace) -> dict[str, Any]:
    """Masks of the layers that relevance is to go through."""
    if not args.through:
        return {}
    from dftlrp.concepts import masks_through

    return masks_through(
        model, clip, through(args.through), rate=args.rate, output=args.output,
        bind=bindings(args.bind), composite=args.composite,
        overrides=pairs(args.rule, "--rule"),
    )  # fmt: skip


def _print(explanations: Sequence[Any], table: bool) -> None:
    from dftlrp.results.sound import playback

    first = explanations[0]
    scores = first.explained.reshape(-1)
    if first.explained.shape[-1:] == scores.shape:
        best = int(scores.argmax())
        name = first.labels[best] if best < len(first.labels) else str(best)
        print(f"prediction: {name} (score {scores[best]:.3f})")
    for one in explanations:
        gap = one.ledger.gap
        print(f"explained: {one.label}; conservation error {gap:.1e} (largest of any layer)")
    for note in first.notes:
        print(f"  {note}")
    if (speed := playback(first.rate)[1]) > 1:
        print(f"  sounds are played {speed:g} times faster")
    if table:
        print(first.ledger)
