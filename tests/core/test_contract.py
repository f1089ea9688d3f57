"""The backend contract: what it lists of NumPy is what ops and rules use, no more and no less."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from graphs import NETWORKS, loaded, signals
from ops.cases import CASES, MAPS

from dftlrp import attribute
from dftlrp.core.arrays import BackendArray
from dftlrp.core.backend import NUMPY_FUNCTIONS, OWN_FUNCTIONS, get_backend
from dftlrp.core.dispatch import find_arrays
from dftlrp.core.maps import Affine
from dftlrp.core.numpy_backend import BACKEND as NUMPY
from dftlrp.frameworks.tensor_backend import TensorBackend
from dftlrp.frameworks.tensors import Framework, RefusedError
from dftlrp.frameworks.testing.laws import make_rule_laws
from dftlrp.ops import OPS
from dftlrp.tracing.tape import FUNCTIONS

from backends import chosen  # isort: skip

CONTRACT = NUMPY_FUNCTIONS | OWN_FUNCTIONS | {"getitem": ("x", "key"), "astype": ("x", "dtype")}
NOT_LISTED = {"prod", "put_along_axis", "atleast_1d"}  # of ops in `NOT_RUN`
NOT_RUN = {  # ops that no framework runs on a signal, since they carry no relevance
    "Hardmax", "NonMaxSuppression", "NonZero", "Range", "ReduceProd", "ScatterElements",
    "ScatterND",
}  # fmt: skip
REFUSED: set[str] = set()


def shaped(f: Any) -> Any:
    """An adjoint that is told its shape."""
    return lambda r, x, shape: f(r, x, np.zeros(shape))


TABLE: dict[str, Any] = {
    **{name: getattr(np, name) for name in NUMPY_FUNCTIONS},
    **{name: getattr(NUMPY, name) for name in OWN_FUNCTIONS},
    "slice_T": shaped(NUMPY.slice_T),
    "pick_T": shaped(NUMPY.pick_T),
    "getitem": lambda x, key: np.asarray(x[key]),
    "astype": lambda x, dtype: x.astype(dtype),
}


class Recording(Framework):
    """NumPy as if it were another framework; notes what it is asked for on floats of a signal."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        arrays: list[Any] = list(find_arrays((*args, *kwargs.values())))
        if not all(a.readable for a in arrays):
            SEEN[name].add((len(args), *sorted(kwargs)))
        return super().call(name, *args, **kwargs)


class RecordingBackend(TensorBackend):
    package, title, device = "recording", "a recording", "here"
    framework = Recording("recording", np.asarray, np.asarray, lambda x: x.dtype, (), TABLE)


SEEN: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
BK = RecordingBackend()


def run(name: str) -> None:
    """Evaluate a node, and send relevance through its map and its tangent."""
    case = CASES[name].at()
    live = case.live if name in MAPS else (0,)
    args = tuple(
        a if a is None else BK.signal(a) if i in live else BK.asarray(a)
        for i, a in enumerate(case.args)
    )
    here = replace(case, bk=BK, args=args, y=None)
    y = OPS[case.node.op].evaluate(here)
    if name not in MAPS:
        return
    here, r = replace(here, y=BK.asarray(y)), BK.signal(np.ones(case.y.shape))
    layer = OPS[case.node.op].linearise(here)
    for each in (layer, layer.tangent()):
        if isinstance(each, Affine):
            each.forward(*here.inputs)
            each.adjoint(r)
        else:
            each.carry(r)
            _ = each.stopped and each.stopped(r)


@pytest.fixture(scope="module")
def used() -> dict[str, set[tuple[Any, ...]]]:
    """All functions that ops and rules ask for on floats of a signal, with their arguments."""
    SEEN.clear()
    for name in CASES:
        try:
            run(name)
        except RefusedError:
            REFUSED.add(CASES[name].op)
    for law in make_rule_laws():
        law.f(BK, *map(BK.signal, law.arrays))
    for network, preset in product(("conv_stack", "two_inputs"), ("EpsilonGammaBox", "AttnLRP")):
        proto = NETWORKS[network]()
        attribute(loaded(proto), signals(proto), composite=preset, seed="contrast", backend=BK)
    return SEEN


def test_what_is_listed_is_what_is_used(used: Any) -> None:
    assert used.keys() - NOT_LISTED == CONTRACT.keys()
    assert REFUSED <= NOT_RUN


def test_the_arguments_that_are_listed_are_those_that_are_used(used: Any) -> None:
    for name, listed in CONTRACT.items():
        if name == "einsum":
            continue
        found: set[str] = set()
        for count, *named in used[name]:
            assert count <= len(listed), name
            found |= {*listed[:count], *named}
        assert found == set(listed), name


@pytest.mark.parametrize("name", [n for n in chosen() if n not in {"numpy", "onnx"}])
def test_every_adapter_has_these_functions_and_no_more(name: str) -> None:
    bk: Any = get_backend(name)
    assert bk.framework.functions.keys() == CONTRACT.keys()


def test_what_cannot_be_traced_is_what_onnx_has_no_node_for() -> None:
    assert CONTRACT.keys() - FUNCTIONS.keys() == {"cumprod", "fmod", "round"}


def test_the_array_has_the_attributes_and_methods_that_the_contract_names() -> None:
    from dftlrp.core import backend

    for name in ("ndim", "size", "T", "astype", "reshape", "transpose", "swapaxes", "ravel"):
        assert f"``{name}``" in str(backend.__doc__)
        assert hasattr(BackendArray, name)
