"""Every public name is on a page of the reference, and its docstring says all that is needed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pytest
from needed import needed

import dftlrp
import dftlrp.concepts
import dftlrp.spectral

needed("numpydoc")
from numpydoc.docscrape import ClassDoc, FunctionDoc  # noqa: E402
from numpydoc.validate import validate  # noqa: E402

PAGE = (Path(__file__).parents[1] / "docs/reference/api.rst").read_text("utf-8")
FRAMEWORKS = ("dftlrp_torch.load", "dftlrp_torch.relevance", "dftlrp_tensorflow.load",
              "dftlrp_tensorflow.relevance", "dftlrp_jax.relevance")  # fmt: skip
PACKAGES = {
    "dftlrp": dftlrp, "dftlrp.metrics": dftlrp.metrics, "dftlrp.spectral": dftlrp.spectral,
    "dftlrp.concepts": dftlrp.concepts,
}  # fmt: skip
NO_FUNCTION = {"dftlrp.metrics", "dftlrp.concepts.Condition"}  # a module, and a type
CHECKED = {  # of numpydoc.validate
    "GL08", "SS01", "SS03", "PR02", "PR07", "RT01", "RT03", "YD01", "SA02", "SA03", "SA04",
}  # fmt: skip
FULL = {"SA01", "EX01"}  # of functions and classes; methods have those of their class
INNER = {"split_frames", "find_samples", "divide_by_overlap", "share_frames"}  # of streamed STFT


def list_names() -> list[str]:
    names = {f"{package}.{name}" for package, held in PACKAGES.items() for name in held.__all__}
    return sorted(names - NO_FUNCTION | set(FRAMEWORKS))


def find_object(name: str) -> Any:
    package, _, own = name.rpartition(".")
    return getattr(PACKAGES.get(package) or import_module(package), own)


def list_methods(kind: type) -> Iterator[tuple[str, type]]:
    """Public methods, and the class of ours that has them; a transform's are those of `Domain`."""
    contract = dftlrp.spectral.Domain
    known = set(vars(contract)) if kind.__module__.startswith("dftlrp.spectral") else set()
    for base in (b for b in kind.__mro__ if b.__module__.startswith("dftlrp")):
        for name, member in vars(base).items():
            is_method = inspect.isfunction(member) or isinstance(member, classmethod | staticmethod)
            described = name in INNER or (name in known and base is not contract)
            if is_method and not described and not name.startswith("_"):
                yield name, base


def read_page() -> set[str]:
    """The full names in the tables of the page."""
    found, package = set(), ""
    for line in PAGE.splitlines():
        if module := re.match(r"\.\. currentmodule:: (\S+)", line):
            package = module[1]
        elif name := re.match(r"   ~?([\w.]+)$", line):
            found.add(f"{package}.{name[1]}")
    return found


def list_errors(path: str, codes: set[str]) -> list[str]:
    return [f"{path}: {code} {text}" for code, text in validate(path)["errors"] if code in codes]


@pytest.mark.parametrize("name", list_names())
def test_a_public_name_is_on_the_page_and_described_in_full(name):
    thing = find_object(name)
    package, _, own = name.rpartition(".")
    places = {name, f"dftlrp.{own}"} if package == "dftlrp.spectral" else {name}
    assert places & read_page(), f"docs/reference/api.rst has no {name}"
    home = f"{thing.__module__}.{thing.__qualname__}"  # but of what is made for each framework
    assert list_errors(name if "<locals>" in home else home, CHECKED | FULL) == []
    told = ClassDoc(thing) if inspect.isclass(thing) else FunctionDoc(thing)
    for p in told["Parameters"]:
        assert p.type or re.match("As (of|in) ", " ".join(p.desc)), f"of what type is {p.name}?"
    left = list_taken(thing) - list_described(told)
    bases = thing.__mro__[1:] if inspect.isclass(thing) else ()
    for base in (b for b in bases if b.__name__ in thing.__doc__):  # the docstring names its page
        left -= list_described(ClassDoc(base))
    assert not left


def list_taken(thing: Any) -> set[str]:
    """What a function or class is called with; contracts and errors are not called by users."""
    if inspect.isclass(thing) and (issubclass(thing, Exception) or Protocol in thing.__bases__):
        return set()
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    given = inspect.signature(thing).parameters.values()
    return {stars.get(p.kind, "") + p.name for p in given}


def list_described(told: Any) -> set[str]:
    rows = (*told["Parameters"], *told["Attributes"])
    return {name for row in rows for name in row.name.split(", ")}


CLASSES = [n for n in list_names() if inspect.isclass(find_object(n))]


@pytest.mark.parametrize("name", CLASSES)
def test_a_method_is_described_and_an_example_calls_it(name):
    kind = find_object(name)
    shown = " ".join(ClassDoc(kind)["Examples"])
    for method, base in list_methods(kind):
        path = f"{base.__module__}.{base.__qualname__}.{method}"
        assert list_errors(path, CHECKED | {"PR01"}) == []
        own = " ".join(FunctionDoc(getattr(kind, method))["Examples"])
        assert f".{method}(" in own + shown, f"no example calls {name}.{method}"
