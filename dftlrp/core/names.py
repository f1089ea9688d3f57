"""Names as people type them: found in any case, and answered with what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dftlrp.core.types import InputError

ALIKE = 0.66  # of difflib's ratio: below two thirds, a name is nothing like what was typed
PART = 3  # letters: what is shorter is a part of nearly every name
SHOWN = 20  # names that a message lists


def match_name(given: object, known: Iterable[str]) -> str | None:
    """Return the name itself if it is known; else the only one that differs in case alone."""
    names = list(dict.fromkeys(known))
    if given in names:
        return str(given)
    folded = str(given).strip().casefold()
    alike = [name for name in names if name.casefold() == folded]
    return alike[0] if len(alike) == 1 else None


def find_name(given: object, known: Iterable[str], what: str) -> str:
    """Return the known name that is meant.

    Parameters
    ----------
    given : str
        As somebody typed it; the case does not matter where only one name has these letters.
    known : iterable of str
    what : str
        Begins the message: ``"unknown rule"``.

    Raises
    ------
    InputError
        None, or more than one, is meant; the message has what is alike and what there is.
    """
    names = list(known)
    found = match_name(given, names)
    if found is None:
        raise InputError(
            f"{what} {given!r}: {suggest(given, names)}choose one of {list_some(names)}"
        )
    return found


def suggest(given: object, known: Iterable[str], most: int = 3) -> str:
    """Return ``"did you mean 'gamma'? "``; nothing where no name is alike."""
    found = [repr(name) for name in find_alike(given, known, most)]
    return f"did you mean {' or '.join(found)}? " if found else ""


def find_alike(given: object, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the names that are like one that is not known, the most similar first.

    A name is like another if most of the letters agree in order, or if one holds the other.
    """
    text = str(given).casefold()
    names = {name: name.casefold() for name in known if name}
    close = get_close_matches(text, names.values(), most, ALIKE) if text else []
    parts = [n for n in names.values() if len(text) >= PART and text in n]
    parts += [n for n in names.values() if len(n) >= PART and n in text]
    order = list(dict.fromkeys([*close, *sorted(parts, key=len)]))
    return [name for folded in order for name in names if names[name] == folded][:most]


def list_some(names: Iterable[object]) -> str:
    """Return names with commas, the first of many."""
    texts = [str(name) for name in names]
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])
