"""The fences of the house: who imports whom, what is public, and what every method must say."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import solvers
from solvers.layerwise import layer_findings
from solvers.pipeline import GLOBAL_SEARCHES, LOCAL_TESTS
from solvers.stationarity import kkt_finding

GLOBAL_BOUNDS = importlib.import_module("solvers.optimality.global_bounds").GLOBAL_BOUNDS
ROOT = Path(solvers.__file__).parent.parent
THIRD_PARTY = {
    "clarabel",
    "cvxpy",
    "highspy",
    "jaxtyping",
    "numpy",
    "onnx",
    "pydantic",
    "pydantic_core",
    "pyscipopt",
    "safetensors",
    "scipy",
    "torch",
}
"""Back ends of the solvers; web frameworks and storage belong to the service."""
HEADINGS = ("Claims", "Because", "Silent when", "See")


def sources(package: str) -> dict[str, ast.Module]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
        make_absolute(found[name], ".".join(parts))
    return found


def make_absolute(tree: ast.Module, place: str) -> None:
    """Name the modules of relative imports, which only the checker has: its folder may be moved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert place.startswith("solvers.checker"), "imports are absolute"
            base = place.split(".")[: -node.level]
            node.module = ".".join([*base, *filter(None, [node.module])])
            node.level = 0


SOLVERS = sources("solvers")
SERVICE = sources("service")


def imported(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, names) of every import anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", tuple(alias.name for alias in node.names)


def at_import_time(tree: ast.Module) -> ast.Module:
    """The tree without functions' bodies and without what only type checkers run."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            return None if checked else self.generic_visit(node)

    stripped = Strip().visit(ast.parse(ast.unparse(tree)))
    assert isinstance(stripped, ast.Module)
    return stripped


def dependencies(name: str) -> set[str]:
    """The modules of ``solvers`` that a module needs in order to be imported."""
    needed = set()
    for module, names in imported(at_import_time(SOLVERS[name])):
        if module.partition(".")[0] != "solvers":
            continue
        inner = {f"{module}.{n}" for n in names} & SOLVERS.keys()
        needed |= inner or {module}
    return needed


def test_the_tree_was_found() -> None:
    assert {"solvers", "solvers.certification", "solvers.stationarity.decide"} <= SOLVERS.keys()
    assert len(SERVICE) > 5


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_know_nothing_of_the_service(name: str) -> None:
    tops = {module.partition(".")[0] for module, _ in imported(SOLVERS[name])}
    assert "service" not in tops
    assert tops - THIRD_PARTY - {"solvers"} <= sys.stdlib_module_names


def test_the_checker_stands_alone() -> None:
    """The exact checker, where there is one, imports the standard library and itself."""
    for name in SOLVERS:
        if not name.startswith("solvers.checker"):
            continue
        for module, _ in imported(SOLVERS[name]):
            own = module.startswith("solvers.checker")
            assert own or module.partition(".")[0] in sys.stdlib_module_names


def test_the_service_uses_the_library_from_outside() -> None:
    """Nothing of the service reaches for a private name of the solvers."""
    for tree in SERVICE.values():
        for module, names in imported(tree):
            if module.partition(".")[0] == "solvers":
                assert not [part for part in (*module.split("."), *names) if part.startswith("_")]


def test_scip_is_loaded_where_it_is_asked_only() -> None:
    """PySCIPOpt costs every process a tenth of a second: no module needs it to be imported."""
    for name, tree in SOLVERS.items():
        if name.partition("solvers.spatial")[1]:
            continue
        needed = {module for module, _ in imported(at_import_time(tree))}
        assert not {m for m in needed if m.startswith(("pyscipopt", "solvers.spatial"))}, name


def test_imports_run_one_way() -> None:
    """Depth-first search over import-time dependencies: no module needs itself."""
    graph = {name: dependencies(name) for name in SOLVERS}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for other in sorted(graph.get(name, ())):
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())
    assert done >= graph.keys()


@pytest.mark.parametrize("name", SOLVERS)
def test_private_names_stay_in_their_module(name: str) -> None:
    for module, names in imported(SOLVERS[name]):
        if module.partition(".")[0] == "solvers":
            assert not [n for n in names if n.startswith("_")]


@pytest.mark.parametrize("name", [*SOLVERS, *SERVICE])
def test_every_module_says_what_it_is(name: str) -> None:
    text = ast.get_docstring((SOLVERS | SERVICE)[name])
    assert text
    assert len(text.split()) >= 3


def public(module: ModuleType) -> set[str]:
    """Public names of a package other than its submodules."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and type(value).__name__ != "_Feature"
    }


PACKAGES = [
    name
    for name, tree in (SOLVERS | SERVICE).items()
    if any(
        isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for node in tree.body
    )
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_can_be_imported(name: str) -> None:
    module = importlib.import_module(name)
    listed: list[str] = module.__all__
    assert listed == sorted(listed, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert len(set(listed)) == len(listed)
    assert set(listed) == public(module)


@pytest.mark.parametrize(
    "name", [n for n, t in SOLVERS.items() if n != "solvers" and list(imported(t))]
)
def test_packages_that_gather_names_list_them(name: str) -> None:
    """An ``__init__`` that imports something has an ``__all__``."""
    if (ROOT / Path(*name.split(".")) / "__init__.py").exists():
        assert name in PACKAGES


def verdict_methods() -> dict[str, Callable[..., Any]]:
    """Public functions of one case in solvers.optimality that make a verdict or bounds."""
    found: dict[str, Callable[..., Any]] = {}
    for name in SOLVERS:
        if not name.startswith("solvers.optimality."):
            continue
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            if key.startswith("_") or not inspect.isfunction(value) or value.__module__ != name:
                continue
            signature = inspect.signature(value)
            kinds = [p.annotation for p in signature.parameters.values()]
            answers = signature.return_annotation in ("LocalFinding | None", "list[Bound]")
            if answers and kinds in (["Case"], ["Case", "list[FeasiblePoint]"]):
                found[f"{name}.{key}"] = value
    return found


METHODS = verdict_methods()


def test_every_method_is_in_the_pipeline_once() -> None:
    """Visible tuples of local tests, bounds and searches: nothing is written and forgotten."""
    used = [*LOCAL_TESTS, *GLOBAL_BOUNDS, *GLOBAL_SEARCHES]
    assert len(set(used)) == len(used)
    assert set(used) == set(METHODS.values())
    assert len(used) >= 8


@pytest.mark.parametrize(
    "method", [*METHODS.values(), kkt_finding, layer_findings], ids=lambda m: m.__name__
)
def test_every_method_says_what_it_claims_and_why(method: Callable[..., Any]) -> None:
    """Headings in order, each with a text of its own."""
    lines = (inspect.getdoc(method) or "").splitlines()
    places = [lines.index(heading) for heading in HEADINGS if heading in lines]
    assert len(places) == len(HEADINGS), f"headings {HEADINGS} expected"
    assert places == sorted(places)
    for place in places:
        assert lines[place + 1].startswith("    ")
        assert lines[place + 1].strip()
