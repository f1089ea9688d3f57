"""One HTML page that shows and plays an explanation, with everything inside the file.

The page asks the network for nothing: a content security policy forbids it, and only allows the
style and the script of the page (each by its hash) and data URIs.  The template engine escapes text
from outside (labels, node names, notes), and the script only ever writes it as text.

`packing` packs numbers, `shown` chooses what is drawn, `still` draws it for paper and for browsers
that run no script; `dftlrp/results/page` holds the script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from dftlrp.core.types import InputError
from dftlrp.results.data import ExplanationData
from dftlrp.results.differences import name_explanations
from dftlrp.results.glossary import TERMS
from dftlrp.results.report import compared, media, panes, sentences, shown, still
from dftlrp.results.views import align_starts
from dftlrp.results.words import format_number

if TYPE_CHECKING:
    from jinja2 import Environment

MODULES = (
    "axes", "decode", "view", "measure", "sound", "data", "paint", "panes", "player", "page",
)  # fmt: skip
GALLERY = "axes", "decode", "measure", "sound", "paint", "player", "choice", "gallery"
TIMELINE = ("timeline",)


class Size(NamedTuple):
    """Which template is filled, how much is drawn, and how many sounds there is room for."""

    template: str
    most: shown.Most
    room: media.Room


PAGE = Size("explanation.html.j2", shown.PAGE, media.PAGE)
CELL = Size("cell.html.j2", shown.CELL, media.CELL)


def render(
    explanations: Sequence[ExplanationData], names: Sequence[str] = (), size: Size = PAGE
) -> str:
    """Return explanations as one self-contained HTML page.

    Parameters
    ----------
    explanations : sequence of Explanation
        One, or several to compare: side by side, and the first minus each other.
    names : sequence of str, optional
        What they are called; default: what tells them apart.
    size : Size
        `PAGE`; or `CELL`, which shows less, more coarsely.

    Returns
    -------
    str
        HTML, to be written as UTF-8.

    Raises
    ------
    InputError
        If there is no explanation, the explanations have no domain in common, or a domain cannot
        be drawn.
    NonFiniteError
        If a signal or its relevance holds a NaN or an infinity.
    """
    if not explanations:
        raise InputError("no explanation to report")
    names = list(names or name_explanations(explanations))
    labels = [e.label for e in explanations]
    begun = compared.describe_starts(explanations, names)
    explanations = align_starts(explanations)
    domains = shown.collect_domains(explanations, size.most)
    ends = shown.list_ends(explanations, domains)
    rows, differing = panes.list_panes(domains, names)
    clips, left = media.make_clips(explanations, names, size.room)
    channels = shown.name_channels(explanations)
    for row in (*rows, *differing):
        _add_pictures(row, channels, explanations, names)
    differences = compared.describe_differences(explanations, names)
    changes = [(*sentences.list_notes(e), *media.list_changes(e)) for e in explanations]
    return fill_page(
        size.template,
        title=compared.write_title(explanations, names),
        labels=names,
        answers=[
            {**sentences.describe_answer(e), "name": "" if name == e.label else name}
            for e, name in zip(explanations, names, strict=True)
        ],
        classes=sentences.list_classes(explanations, names),
        differences=differences,
        rows=rows,
        differing=differing,
        names=channels,
        start=min(start for start, _, _ in ends),
        stop=max(stop for _, stop, _ in ends),
        data=shown.write_data(domains, explanations, names, differing, differences["word"]),
        script=bundle_script(),
        channels=sentences.list_channels(explanations),
        strongest=[{**sentences.list_strongest(e), "label": name}
                   for e, name in zip(explanations, names, strict=True)],
        clips=clips,
        hints=[*begun, *compared.describe_unshared(explanations, names),
               *media.write_hints(explanations, left)],
        ledgers=[{**sentences.summarise_ledger(e), "label": name}
                 for e, name in zip(explanations, names, strict=True)],
        notes=_keep_first_of_each(note for one in changes for note in one),
        warnings=_keep_first_of_each(
            f"{w}." if len(set(labels)) == len(labels) else f"{name}: {w}."
            for e, name in zip(explanations, names, strict=True)
            for w in sentences.list_warnings(e, len(explanations) > 1)
        ),
        provenance=[{**sentences.list_facts(e), "label": name}
                    for e, name in zip(explanations, names, strict=True)],
    )  # fmt: skip


def _add_pictures(
    row: list[dict[str, Any]],
    channels: Sequence[str],
    explanations: Sequence[ExplanationData],
    names: Sequence[str],
) -> None:
    """Give each pane of a row its still picture of each channel, and words for it."""
    peers = list({id(pane["shown"]): pane["shown"] for pane in row}.values())
    for pane in row:
        drawn: shown.Shown = pane["shown"]
        owner, k = pane["owner"], pane["explanation"]
        pane["stills"] = [
            {"svg": still.draw_still(drawn, owner, c, pane["last"], peers), "name": name}
            for c, name in enumerate(channels if len(drawn.relevance[0]) > 1 else [""])
        ]
        pane["alt"] = ""
        if k >= 0 and "other" not in pane:
            pane["alt"] = sentences.describe_sums(explanations[k], drawn.row.name, names[k])


def bundle_script(modules: Sequence[str] = MODULES) -> str:
    """Return the modules of a page as one, without comments: the same text everywhere."""
    text = "".join(_read_file("dftlrp.results.page", f"{name}.js") for name in modules)
    comments = r"^ *(?://[^\n]*|/\*\*(?:(?!\*/).)*\*/)\n"
    text = re.sub(comments, "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^import [^;]*;\n|^export ", "", text, flags=re.MULTILINE)


def fill_page(name: str, **values: Any) -> str:
    """Return a template of the package with values filled in; a missing value is an error."""
    from markupsafe import Markup

    template, style = _open_templates().get_template(name), Markup(_read_template("style.css"))
    made = template.render(style=style, glossary=TERMS, **values)
    return made.encode("utf-8", "replace").decode()  # a label may hold a lone surrogate


@cache
def _open_templates() -> Environment:
    """Return the templates, each of which is compiled when it is first filled."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_read_template), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(num=format_number, pct=sentences.format_percent, csp=_hash_source)
    return environment


def _read_template(name: str) -> str:
    return _read_file("dftlrp.results.report", name)


def _read_file(package: str, name: str) -> str:
    from importlib.resources import files

    return files(package).joinpath(name).read_text("utf-8")


def _hash_source(text: str) -> str:
    """Return the source of an inline style or script for the security policy: its SHA-256."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _keep_first_of_each(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
