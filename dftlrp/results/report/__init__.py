"""One HTML page that shows and plays an explanation, with everything inside the file.

The page holds no script and asks the network for nothing: a content security policy forbids both,
and only allows the style of the page (by its hash) and data URIs.  The template engine escapes text
from outside (labels, node names, notes).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from dftlrp.core.types import InputError
from dftlrp.results.data import ExplanationData
from dftlrp.results.glossary import TERMS
from dftlrp.results.report import media, sentences
from dftlrp.results.words import format_number


def render(explanations: Sequence[ExplanationData]) -> str:
    """Return explanations of one recording as one self-contained HTML page.

    Parameters
    ----------
    explanations : sequence of Explanation
        One, or several to compare (two fit side by side).

    Returns
    -------
    str
        HTML, to be written as UTF-8.

    Raises
    ------
    InputError
        If there is no explanation, the explanations are of different recordings, or a domain
        cannot be drawn.
    NonFiniteError
        If a signal or its relevance holds a NaN or an infinity.
    """
    if not explanations:
        raise InputError("no explanation to report")
    changes = [(*sentences.list_notes(e), *media.list_changes(e)) for e in explanations]
    return fill_page(
        "explanation.html.j2",
        labels=[e.label for e in explanations],
        answers=[sentences.describe_answer(e) for e in explanations],
        classes=sentences.list_classes(explanations),
        pictures=media.draw_pictures(explanations),
        channels=sentences.list_channels(explanations),
        strongest=[sentences.list_strongest(e) for e in explanations],
        players=media.make_players(explanations),
        hints=media.write_hints(explanations),
        ledgers=[sentences.summarise_ledger(e) for e in explanations],
        notes=_keep_first_of_each(note for one in changes for note in one),
        warnings=_keep_first_of_each(
            f"{w}." for e in explanations for w in sentences.list_warnings(e)
        ),
        provenance=[sentences.list_facts(e) for e in explanations],
    )


def fill_page(name: str, **values: Any) -> str:
    """Return a template of the package with values filled in; a missing value is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_read_template), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(num=format_number, pct=sentences.format_percent, csp=_hash_style)
    template, style = environment.get_template(name), Markup(_read_template("style.css"))
    made = template.render(style=style, glossary=TERMS, **values)
    return made.encode("utf-8", "replace").decode()  # a label may hold a lone surrogate


def _read_template(name: str) -> str:
    from importlib.resources import files

    return files("dftlrp.results.report").joinpath(name).read_text("utf-8")


def _hash_style(style: str) -> str:
    """Return the source of an inline style for the content security policy: its SHA-256."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() + "'"


def _keep_first_of_each(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
