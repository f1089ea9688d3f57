"""The command line: ``dftlrp explain``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dftlrp import __version__, cli_check
from dftlrp.shipped import MODELS, embedded
from dftlrp.types import DftlrpError, InputError

DESCRIPTION = "Why this output?  Relevance of ONNX models for sound and other signals."
EXPORT = """Write a model and its explanation as one ONNX file, which runs with plain onnxruntime:
it reads the model's input and a target, and gives the output and the relevance.  Its metadata
entry "dftlrp" says what each output means."""
EXPLAIN = """Explain one output of a model for one recording, and write report.html, figure.png,
explanation.npz, tables (CSV) and the sounds.  Without MODEL and CLIP the embedded digit classifier
explains the embedded clip; with CLIP alone it explains that one.  --model names another one."""

INSPECT = """List the layers of a model as they are explained: name, op, shape, rule, parameters and
receptive field; what is bound, folded, merged, left out, or refused and why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 on success, 1 where a check fails, 2 where something was refused."""
    try:
        args = _parser().parse_args(argv)
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except DftlrpError as error:
        print(f"dftlrp: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of what is printed has gone; all files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("dftlrp", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dftlrp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    p = commands.add_parser(
        "explain", help="explain one output for one recording", description=EXPLAIN
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
    p.add_argument("--backend", help="onnx (default where it can), numpy: the float64 reference")
    _inspect_parser(commands)
    _export_parser(commands)
    cli_check.parser(commands, _bindings, _shapes)
    return parser


def _export_parser(commands: Any) -> None:
    p = commands.add_parser("export", help="model and explanation as one file", description=EXPORT)
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
    p.add_argument("--frontend", metavar="FILE.toml", help="as in explain")


def _export(args: argparse.Namespace) -> int:
    from dftlrp.export import export
    from dftlrp.model import load

    model = load(embedded(args.model) if args.model in MODELS else args.model)
    traced = export(
        model,
        args.out,
        composite=args.composite,
        overrides=_pairs(args.rule, "--rule"),
        seed=args.seed_kind,
        output=args.output,
        bind=_bindings(args.bind),
        batch=args.batch,
        shapes=_shapes(args.shape),
        domains=[d for chunk in args.domains for d in chunk.split(",") if d],
        frontend=args.frontend,
    )
    for info in (*traced.model.graph.input, *traced.model.graph.output):
        shape = [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
        print(f"  {info.name:26} [{', '.join(map(str, shape))}]")
    print(f"  {args.out}")
    return 0


def _batch(text: str) -> int | str:
    """A number; what else it may be is for `export` to say."""
    return int(text) if text.isdecimal() else text


def _inspect_parser(commands: Any) -> None:
    p = commands.add_parser("inspect", help="the layers of a model", description=INSPECT)
    p.set_defaults(run=_inspect)
    p.add_argument("model", metavar="MODEL.onnx", help="an ONNX file, or an embedded model's name")
    p.add_argument("--composite", default="auto", help="preset of rules; default: auto")
    p.add_argument(
        "--rule", action="append", default=[], metavar="LAYER=RULE", help="as in explain"
    )
    p.add_argument("--output", metavar="NAME", help="which output of the model")
    p.add_argument(
        "--bind", action="append", default=[], metavar="NAME=VALUE", help="as in explain"
    )
    p.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1,2,3",
        help="shape of an input to run with, where the file leaves it open; may be repeated",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="as JSON")


def _inspect(args: argparse.Namespace) -> int:
    from dftlrp.inspection import inspect

    found = inspect(
        embedded(args.model) if args.model in MODELS else args.model,
        composite=args.composite,
        overrides=_pairs(args.rule, "--rule"),
        output=args.output,
        bind=_bindings(args.bind),
        shapes=_shapes(args.shape),
    )
    print(json.dumps(found.to_dict(), indent=1, default=str) if args.json else found)
    return 0


def _shapes(items: Sequence[str]) -> dict[str, tuple[int, ...]]:
    return {name: _dims(text) for name, text in _pairs(items, "--shape").items()}


def _dims(text: str) -> tuple[int, ...]:
    try:
        dims = tuple(int(n) for n in text.split(","))
    except ValueError:
        dims = ()
    if not dims or min(dims) < 1:
        raise InputError(f"--shape {text!r}: write it as NAME=1,2,3")
    return dims


def _pairs(items: Sequence[str], option: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in items]
    for (name, equals, _), item in zip(pairs, items, strict=True):
        if not (name and equals):
            raise InputError(f"{option} {item!r}: write it as NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _bindings(items: Sequence[str]) -> dict[str, Any]:
    pairs = _pairs(items, "--bind")
    try:
        return {name: json.loads(text) for name, text in pairs.items()}
    except ValueError:
        raise InputError(f"--bind {' '.join(items)}: values are numbers or lists, [1, 2]") from None


def _labels(file: str | None) -> list[str] | None:
    if file is None:
        return None
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--labels {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--labels {file}: not UTF-8 text") from None
    try:
        labels = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError:
        raise InputError(f"--labels {file}: not a JSON list") from None
    return [str(label).strip() for label in labels if str(label).strip()]


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
    from dftlrp.results import ours

    if not out:
        raise InputError("--out is empty: name a folder for the results")
    if clip.resolve().parent == Path(out).resolve() and ours(clip.name):
        raise InputError(f"--out {out}: a result would replace the recording {clip}")


def _explain(args: argparse.Namespace) -> int:
    from dftlrp.api import explain
    from dftlrp.model import load
    from dftlrp.results import save

    path, clip = _files(args.files, args.model)
    _spare(Path(clip), args.out)
    model = load(path)
    if args.chunk or args.state:
        states = _pairs(args.state, "--state")
        model = model.chained(states, args.chunk or 0, args.context, output=args.output)
    targets = [args.target] if args.versus is None else [args.target, args.versus]
    explanations = [
        explain(
            model,
            clip,
            target=target,
            rate=args.rate,
            seed=args.seed_kind,
            composite=args.composite,
            overrides=_pairs(args.rule, "--rule"),
            labels=_labels(args.labels),
            output=args.output,
            bind=_bindings(args.bind),
            domains=[d for chunk in args.domains for d in chunk.split(",") if d],
            backend=args.backend,
            frontend=args.frontend,
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


def _print(explanations: Sequence[Any], table: bool) -> None:
    from dftlrp.audible import playback

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
