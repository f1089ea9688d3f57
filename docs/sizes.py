"""Print the sizes of the code: rooms, layers, long functions, many parameters, names used twice.

Run ``python docs/sizes.py`` before and after a change to see whether the code became harder to
find one's way in.  ``--json`` prints the same numbers for a program.
"""

from __future__ import annotations

import argparse
import ast
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dftlrp"
MOST_PARAMETERS = 6
LISTED = 15
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A file of the package: its dotted name, its lines and its syntax tree."""

    name: str
    path: Path
    lines: int
    tree: ast.Module

    @property
    def room(self) -> str:
        """The package below ``dftlrp`` that the module belongs to, or ``""``."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""

    def functions(self) -> Iterator[Function]:
        """Yield every function and method."""
        return (n for n in ast.walk(self.tree) if isinstance(n, Function))


def read_modules() -> list[Module]:
    """Read all modules of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, path, len(text.splitlines()), ast.parse(text)))
    return found


def find_imports(module: Module, known: set[str]) -> Iterator[tuple[str, int]]:
    """Yield each module of the package that a module imports, and the line; late imports too."""
    package = module.name if module.path.stem == "__init__" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                target = whole if whole in known else base
                if target in known:
                    yield target, node.lineno


def read_layers() -> list[list[str]]:
    """Return the rooms of each layer of the import contract, from the top down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [
        [name.strip().removeprefix("dftlrp.") for name in layer.replace(":", "|").split("|")]
        for layer in contract["layers"]
    ]


def find_upward_imports(modules: list[Module]) -> list[str]:
    """Return the imports of a room that stands in the same layer or above."""
    floors = {room: i for i, layer in enumerate(read_layers()[::-1]) for room in layer}
    known, found = {m.name: m for m in modules}, []
    for module in modules:
        for target, line in find_imports(module, set(known)):
            here, there = module.room, known[target].room
            if here and there and here != there and floors[here] <= floors[there]:
                found.append(f"{module.name}:{line} imports {target}")
    return found


def find_circles(modules: list[Module]) -> list[list[str]]:
    """Return the groups of modules that import each other in a circle, by Tarjan's algorithm."""
    names = {m.name for m in modules}
    edges = {m.name: sorted({t for t, _ in find_imports(m, names)} - {m.name}) for m in modules}
    index, low = dict[str, int](), dict[str, int]()
    stack, circles = list[str](), list[list[str]]()

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in edges[name]:
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                circles.append(sorted(group))

    for name in edges:
        if name not in index:
            visit(name)
    return circles


def count_parameters(function: Function) -> int:
    """Return the number of parameters but for ``self`` and ``cls``."""
    a = function.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return len([p for p in every if p.arg not in {"self", "cls"}])


def measure_body(function: Function) -> int:
    """Return the number of lines of a function without its docstring."""
    body = function.body[bool(ast.get_docstring(function)) :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def find_repeated_names(modules: list[Module]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return module names, and names of private functions, that more than one module has."""
    files, private = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for module in modules:
        stem = module.name.rpartition(".")[2]
        files[stem].append(module.name)
        names = {n.name for n in module.tree.body if isinstance(n, Function)}
        for name in names:
            if name.startswith("_") and not name.startswith("__"):
                private[name].append(module.name)
    return _repeated(files), _repeated(private)


def _repeated(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return dict(sorted((k, v) for k, v in places.items() if len(v) > 1))


def measure() -> dict[str, Any]:
    """Return all the sizes."""
    modules = read_modules()
    rooms = defaultdict[str, list[int]](list)
    for module in modules:
        rooms[module.room or "(loose)"].append(module.lines)
    functions = [(f, m) for m in modules for f in m.functions()]
    many = [(count_parameters(f), f"{m.name}.{f.name}") for f, m in functions]
    long = [(measure_body(f), f"{m.name}.{f.name}") for f, m in functions]
    files, private = find_repeated_names(modules)
    return {
        "modules": len(modules),
        "lines": sum(m.lines for m in modules),
        "rooms": {room: {"files": len(n), "lines": sum(n)} for room, n in sorted(rooms.items())},
        "layers": read_layers(),
        "upward imports": find_upward_imports(modules),
        "circles": find_circles(modules),
        "longest functions": sorted(long, reverse=True)[:LISTED],
        "parameters over 6": sorted((x for x in many if x[0] > MOST_PARAMETERS), reverse=True),
        "module names used twice": files,
        "private names used twice": private,
    }


def write_text(sizes: dict[str, Any]) -> Iterator[str]:
    """Yield the sizes as lines for a person."""
    yield f"{sizes['modules']} modules, {sizes['lines']} lines"
    for room, size in sizes["rooms"].items():
        yield f"  {room:12} {size['files']:3} files {size['lines']:6} lines"
    yield f"{len(sizes['layers'])} layers:"
    yield from (f"  {' | '.join(layer)}" for layer in sizes["layers"])
    for title in ("upward imports", "circles"):
        yield f"{len(sizes[title])} {title}"
        yield from (f"  {each}" for each in sizes[title])
    for title in ("longest functions", "parameters over 6"):
        yield f"{title}: {len(sizes[title])}"
        yield from (f"  {count:4} {name}" for count, name in sizes[title])
    for title in ("module names used twice", "private names used twice"):
        yield f"{title}: {len(sizes[title])}"
        for name, places in sizes[title].items():
            yield f"  {name}: {', '.join(places)}"


def main() -> None:
    """Print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    sizes = measure()
    print(json.dumps(sizes, indent=1) if parser.parse_args().json else "\n".join(write_text(sizes)))


if __name__ == "__main__":
    main()
