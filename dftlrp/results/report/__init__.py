"""One HTML page that shows and plays an explanation, with everything inside the file.

The page holds no script and asks the network for nothing: a content security policy forbids
both, and lets only the page's own style (by its hash) and data URIs through.  Text from
outside (labels, node names, notes) is escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dftlrp.core.types import InputError
from dftlrp.results.report import media, sentences
from dftlrp.results.words import number

if TYPE_CHECKING:
    from dftlrp.results.explanation import Explanation


def render(explanations: Sequence[Explanation]) -> str:
    """Render explanations of one recording as one self-contained HTML page.

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
        No explanation, or explanations of different recordings.
    NonFiniteError
        A signal or its relevance holds a NaN or an infinity.
    """
    if not explanations:
        raise InputError("no explanation to report")
    return page(
        "explanation.html.j2",
        labels=[e.label for e in explanations],
        answers=[sentences.answer(e) for e in explanations],
        classes=sentences.classes(explanations),
        pictures=media.pictures(explanations),
        channels=sentences.channels(explanations),
        strongest=[sentences.strongest(e) for e in explanations],
        players=media.players(explanations),
        listen=media.listen(explanations),
        ledgers=[sentences.ledger(e) for e in explanations],
        notes=_unique(n for e in explanations for n in (*sentences.notes(e), *media.notes(e))),
        warnings=_unique(f"{w}." for e in explanations for w in sentences.warnings(e)),
        provenance=[sentences.provenance(e) for e in explanations],
    )


def page(name: str, **values: Any) -> str:
    """Fill in a template of the package: autoescape on, a missing name is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(num=number, pct=sentences.percent, csp=_csp)
    made = environment.get_template(name).render(style=Markup(_source("style.css")), **values)
    return made.encode("utf-8", "replace").decode()  # a label may hold a lone surrogate


def _source(name: str) -> str:
    from importlib.resources import files

    return files("dftlrp.results.report").joinpath(name).read_text("utf-8")


def _csp(style: str) -> str:
    """Content security policy source of an inline style: its SHA-256."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() + "'"


def _unique(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
