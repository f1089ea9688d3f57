"""The built site: every page fits, asks for nothing elsewhere, and its links lead on."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import browser
from needed import absent

SITE = Path(__file__).parents[1] / "docs/_build/html"
WIDTHS = (1280, 390)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages():
    if not (SITE / "index.html").is_file():
        absent("site", "the site is not built (nox -s docs)")
    found = [p for p in sorted(SITE.rglob("*.html")) if "_modules" not in p.parts]
    assert len(found) > 30
    return found


def test_every_link_of_the_site_leads_to_a_place_that_is_there(pages):
    texts = {page: page.read_text("utf-8") for page in pages}
    marks = {page: set(re.findall(r'\bid="([^"]*)"', text)) for page, text in texts.items()}
    broken = []
    for page, text in texts.items():
        # an explanation that is shown in a frame is another document
        shown = re.sub(r'srcdoc="[^"]*"', "", text)
        for link in re.findall(r'\b(?:href|src)="([^"]*)"', shown):
            parts = urlsplit(unescape(link))
            if parts.scheme or parts.netloc:
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not there.exists() or (
                parts.fragment and there in marks and parts.fragment not in marks[there]
            ):
                broken.append(f"{page.relative_to(SITE)}: {link}")
    assert not broken


def test_every_page_of_the_site_fits_a_desk_and_a_phone_and_needs_no_network(pages):
    wrong = []
    with browser() as chromium:
        for width in WIDTHS:
            view = chromium.new_page(viewport={"width": width, "height": 850})
            view.route(
                re.compile("^https?:"),
                lambda route: (wrong.append(route.request.url), route.abort()),
            )
            view.on("pageerror", lambda error: wrong.append(str(error)))
            for page in (p for p in pages if p.parent.name != "api"):  # which are made alike
                view.goto(page.as_uri())
                wide = view.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    wrong.append(f"{page.relative_to(SITE)}: {wide} px wide on {width}")
    assert not wrong
