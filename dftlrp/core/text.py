"""Text of others, as it is shown: names and labels come from files."""

from __future__ import annotations


def make_printable(text: object) -> str:
    r"""Return text in one line, its control characters escaped: ``\x1b`` for the escape character.

    A terminal would obey them, and a line break would begin a line that looks like another message.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in str(text))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
