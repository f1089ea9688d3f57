"""What every room shares: names of array types, and the errors.

Errors are part of the interface: one line that says what is wrong, where, and
what to do.  The command line prints exactly that line and exits with 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dftlrp.core.text import make_printable

Real = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]
AnyArray = NDArray[Any]
Shape = tuple[int, ...]
Axes = AnyArray | tuple[AnyArray, ...]  # one array for each axis


class DftlrpError(Exception):
    """Base of everything that dftlrp refuses; its message is one line.

    See Also
    --------
    InputError, ModelError, UnsupportedModelError, NonFiniteError : What is raised.

    Examples
    --------
    >>> try:
    ...     dftlrp.explain("waveform", clip, target="sevn")
    ... except dftlrp.DftlrpError as error:
    ...     print(error)
    unknown target 'sevn': did you mean 'seven'? ...
    """

    def __str__(self) -> str:
        return make_printable(super().__str__())


class ModelError(DftlrpError):
    """The model file is missing, broken, hostile or not ONNX.

    See Also
    --------
    UnsupportedModelError : It is a model, but cannot be explained.

    Examples
    --------
    >>> dftlrp.load("missing.onnx")
    Traceback (most recent call last):
        ...
    dftlrp.core.types.ModelError: missing.onnx: ...
    """


class UnsupportedModelError(ModelError):
    """The model is valid, but some of its nodes cannot be explained.

    Parameters
    ----------
    message : str
        One line.
    reasons : tuple of (name, op, why)
        Each of these nodes, where they are known; an attribute, too.

    See Also
    --------
    inspect : Lists them all instead of raising.

    Examples
    --------
    >>> error = dftlrp.UnsupportedModelError("no rule", (("n1", "Sinh", "no rule"),))
    >>> error.reasons[0][1]
    'Sinh'
    """

    def __init__(self, message: str, reasons: tuple[tuple[str, str, str], ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class InputError(DftlrpError, ValueError):
    """A signal, a target, a label, a preset or another argument is wrong.

    See Also
    --------
    DftlrpError : The base of all errors.

    Examples
    --------
    >>> dftlrp.explain("waveform", clip, composite="EpsilonPlos")
    Traceback (most recent call last):
        ...
    dftlrp.core.types.InputError: unknown composite 'EpsilonPlos': did you mean 'EpsilonPlus'...
    """


class NonFiniteError(DftlrpError, ArithmeticError):
    """A NaN or an Inf appeared; the message names the layer and the first index.

    See Also
    --------
    DftlrpError : The base of all errors.

    Examples
    --------
    >>> dftlrp.attribute("waveform", np.full((1, 1, 8000), np.nan))
    Traceback (most recent call last):
        ...
    dftlrp.core.types.NonFiniteError: ...
    """


class UnfitReferenceError(NonFiniteError):
    """A model cannot be compared at a reference: a value there is not finite, or 0 / 0.

    ``always`` says whether that is so whatever the input is.
    """

    def __init__(self, message: str, always: bool = True) -> None:
        super().__init__(message)
        self.always = always


class CacheWarning(UserWarning):
    """The folder of traced graphs (DFTLRP_CACHE) cannot be used; results are right without it."""
