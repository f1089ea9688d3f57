"""What the check of a front end found, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dftlrp.attribution.frontend_search import Change
from dftlrp.core.text import make_printable
from dftlrp.graph.frontend import FrontEnd, write_value


@dataclass(frozen=True)
class FrontEndCheck:
    """The result of `dftlrp.check_frontend`; print it to read it.

    Attributes
    ----------
    declared : FrontEnd
        What was checked.
    error : float
        Its error, see `dftlrp.attribution.frontend_check`.
    found : FrontEnd or None
        What computed the features: the same where that agrees; None where nothing fits.
    found_error : float
        The error of that, or of the nearest that was tried.
    settings : tuple of str
        What was declared wrongly, as ``("hop",)``.
    sentences : tuple of str
        The same in words.
    others : tuple of str
        In words, what else would make the features agree as well: the clip does not tell.
    notes : tuple of str
        What was done to the recording and to the features.

    See Also
    --------
    check_frontend : Makes one.

    Examples
    --------
    >>> from scipy.io import wavfile
    >>> rate, samples = wavfile.read(clip)
    >>> features = np.fft.rfft(samples / 32768)  # not orthonormal, as the model wants it
    >>> found = dftlrp.check_frontend("spectrum", clip, np.stack([features.real, features.imag]))
    >>> found.ok, found.settings
    (False, ('orthonormal',))
    >>> found.to_dict()["ok"]
    False
    """

    declared: FrontEnd
    error: float
    found: FrontEnd | None
    found_error: float
    settings: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the front end that was declared computes the features."""
        return self.found is not None and not self.settings

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that JSON can hold.

        Returns
        -------
        dict
            What ``dftlrp frontend --json`` prints.
        """
        return {
            "ok": self.ok, "settings": list(self.settings), "sentences": list(self.sentences),
            "others": list(self.others), "error": self.error, "found_error": self.found_error,
            "found": None if self.found is None else self.found.to_text(),
            "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        notes = [f"note: {note}" for note in self.notes]
        error = _tell_error(self.error)
        if self.ok:
            lines = [f"the front end computes these features: they agree to {self.error:.1g}"]
        elif self.found is None:
            told = "no usual value of one setting or of two makes them agree"
            if self.sentences:
                near = f"{_tell_error(self.found_error)}, where {' and '.join(self.sentences)}"
                told += f"; the nearest that was tried is {near}"
            lines = [f"the front end does not compute these features: its own are {error}", told]
        else:
            pronoun = "it" if len(self.settings) == 1 else "them"
            lines = [
                f"{' and '.join(self.sentences)}: with {pronoun} the features agree to "
                f"{self.found_error:.1g} (as declared, they are {error})",
                *(f"or {told}: this clip does not tell these apart" for told in self.others),
            ]
        return "\n".join(map(make_printable, [*notes, *lines]))


def _tell_error(error: float) -> str:
    return f"off by {error:.1g}" if np.isfinite(error) else "of another shape"


def tell_change(change: Change, declared: FrontEnd) -> str:
    """Return a change in words, in the terms of the TOML file."""
    if change.order:
        return "the axes of the features lie in another order than layout says"
    if change.taken_at:
        own = change.fields.get("rate", declared.rate)
        return f"samples at {change.taken_at:g} Hz were taken for samples at {own:g} Hz (rate)"
    told = []
    for name, value in change.fields.items():
        before = getattr(declared, name)
        if value != before:
            told.append(f"{name} is {_show_value(value)}, not {_show_value(before)}")
    return ", ".join(told)


def _show_value(value: Any) -> str:
    if value is None:
        return "none"
    return f"a list of {len(value)}" if isinstance(value, tuple) else write_value(value)
