"""``dftlrp completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dftlrp.assets import MODELS
from dftlrp.cli.options import add_command, list_commands
from dftlrp.results.views import DOMAINS

DESCRIPTION = """Print the completion of commands, options and their values for a shell.  bash: add
eval "$(dftlrp completion bash)" to ~/.bashrc.  zsh: the same, with zsh, in ~/.zshrc, behind
compinit.  fish: dftlrp completion fish > ~/.config/fish/completions/dftlrp.fish."""
BASH = """_dftlrp() {
  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} option= at=$COMP_CWORD
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W @commands@ -- "$word"))
    return
  fi
  while [ "$at" -gt 1 ] && [ -z "$option" ]; do
    at=$((at - 1))
    case ${COMP_WORDS[at]} in -*) option=${COMP_WORDS[at]} ;; esac
  done
  case $word in
    -*)
      case $command in
@options@
      esac
      ;;
    *)
      case "$command $option $((COMP_CWORD - at))" in
@values@
      esac
      [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
      ;;
  esac
}
complete -o filenames -F _dftlrp dftlrp
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


class Known(NamedTuple):
    """An option: its names, what it is for, the values that are known, and whether it takes some.

    ``many`` says whether it takes several one after the other.
    """

    names: tuple[str, ...]
    told: str
    values: tuple[str, ...]
    takes: bool
    many: bool


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    p = add_command(
        commands, "completion", _run_completion, "complete commands and options in a shell",
        DESCRIPTION,
    )  # fmt: skip
    p.add_argument("shell", choices=tuple(SHELLS), help="the shell that is to complete")
    p.set_defaults(commands=commands)


def _run_completion(args: argparse.Namespace) -> int:
    print(SHELLS[args.shell](_collect_options(args.commands)), end="")
    return 0


def _collect_options(commands: argparse.Action) -> dict[str, list[Known]]:
    """Return the options of every command; own commands are values of one without a name."""
    known, inner = dict[str, list[Known]](), dict[str, list[str]]()
    for name, parser in list_commands([commands]):
        first, _, second = name.partition(" ")
        known.setdefault(first, []).extend(_list_options(parser))
        if second:
            inner.setdefault(first, []).append(second)
    for first, words in inner.items():
        known[first].append(Known(("",), "", tuple(words), False, False))
    return known


def _list_options(parser: argparse.ArgumentParser) -> Iterator[Known]:
    """Yield the options of a command."""
    values = _find_values()
    for action in parser._actions:
        if action.option_strings:
            choices = tuple(map(str, action.choices or ()))
            yield Known(
                tuple(action.option_strings),
                (action.help or "").partition(";")[0].replace("%(default)s", str(action.default)),
                choices or values.get(action.option_strings[-1], ()),
                action.nargs != 0,
                action.nargs == "+",
            )


def _find_values() -> Mapping[str, tuple[str, ...]]:
    """Return the values that are known of options, by their names."""
    from dftlrp.attribution.methods import METHODS
    from dftlrp.engine.composites import PRESETS
    from dftlrp.engine.seeds import SEEDS

    return {
        "--backend": ("onnx", "numpy", "torch", "tensorflow", "jax"),
        "--composite": ("auto", *PRESETS),
        "--domains": tuple(DOMAINS),
        "--method": tuple(METHODS),
        "--model": tuple(MODELS),
        "--reference": ("auto", "silence", "none", "noise", "mean"),
        "--seed-kind": ("auto", *SEEDS),
        "--target": ("argmax",),
    }


def _write_bash(known: Mapping[str, list[Known]]) -> str:
    """Return a function of bash."""
    options, values = [], []
    for command, given in known.items():
        names = shlex.quote(" ".join(name for one in given for name in one.names))
        options.append(f'        {command}) COMPREPLY=($(compgen -W {names} -- "$word")) ;;')
        for one in given:
            keys = [f'"{command} {name} "{"*" if one.many else "1"}' for name in one.names]
            words = shlex.quote(" ".join(one.values))
            if one.values:
                found = f'COMPREPLY=($(compgen -W {words} -- "$word"))'
                values.append(f"        {'|'.join(keys)}) {found} ;;")
    commands = shlex.quote(" ".join(known))
    filled = BASH.replace("@commands@", commands).replace("@options@", "\n".join(options))
    return filled.replace("@values@", "\n".join(values))


def _write_zsh(known: Mapping[str, list[Known]]) -> str:
    """Return the same function, which zsh runs as bash does."""
    return ZSH + _write_bash(known)


def _write_fish(known: Mapping[str, list[Known]]) -> str:
    """Return a line of fish for each option."""
    lines = [f"complete -c dftlrp -n __fish_use_subcommand -a {name}" for name in known]
    for command, given in known.items():
        seen = shlex.quote(f"__fish_seen_subcommand_from {command}")
        for one in given:
            names = [f"-{'l' if n[1] == '-' else 's'} {n.lstrip('-')}" for n in one.names if n]
            words = f" -x -a {shlex.quote(' '.join(one.values))}" if one.values else ""
            takes = " -r" if one.takes and not one.values else ""
            told = shlex.quote(one.told.replace("'", ""))
            lines.append(f"complete -c dftlrp -n {seen} {' '.join(names)}{takes}{words} -d {told}")
    return "\n".join(lines) + "\n"


SHELLS = {"bash": _write_bash, "zsh": _write_zsh, "fish": _write_fish}
