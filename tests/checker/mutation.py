"""Delete each condition of the checker in turn: some forgery must then get through, or be misnamed.

Conditions are the calls of ``require``, the raised ``Rejected``, the calls of ``done`` (unknown
fields) and the lower limits of numbers that are read. For each, a copy of the checker without it
judges every honest certificate and every forgery of the test suite; unless some report differs
from what it should be, the condition is not tested. Run as ``python -m tests.checker.mutation``.
"""

from __future__ import annotations

import ast
import copy
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import solvers.checker
import tests.checker
from solvers.checker import DEFAULT_LIMIT
from tests.checker.forging import BASES, Forgery, honest

SOURCE = Path(solvers.checker.__file__).parent
JUDGE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from checker import check
for text, asked, work, claim, condition in json.load(open(sys.argv[2])):
    try:
        report = check(text, asked, work_limit=work)
    except Exception:
        sys.exit(3)
    failed = {(c.claim, c.condition) for c in report.claims if not c.holds}
    if report.condition:
        failed.add((None, report.condition))
    expected = set() if condition is None else {(claim, condition)}
    if failed != expected:
        sys.exit(3)
"""
_READERS = {"number": 1, "numbers": 2, "matrix": 3}
"""Methods that read numbers, and the place of the lower limit among their arguments."""


@dataclass(frozen=True)
class Mutation:
    """A condition of a file: its line, what it is, and the file without it."""

    file: str
    line: int
    what: str
    source: str


def mutations() -> Iterator[Mutation]:
    """Every condition of every file."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for index in range(len(list(_conditions(tree)))):
            fresh = copy.deepcopy(tree)
            node, what = list(_conditions(fresh))[index]
            line = node.lineno
            _delete(fresh, node)
            name = str(path.relative_to(SOURCE))
            yield Mutation(name, line, what, ast.unparse(ast.fix_missing_locations(fresh)))


def _conditions(tree: ast.Module) -> Iterator[tuple[ast.stmt | ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Name) and called.id.startswith("require"):
                yield node, ast.unparse(node.value)[:70]
            elif isinstance(called, ast.Attribute) and called.attr == "done":
                yield node, "unknown fields"
        elif isinstance(node, ast.Raise) and "Rejected" in ast.unparse(node):
            yield node, ast.unparse(node)[:70]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            place = _READERS.get(node.func.attr)
            if place is not None and len(node.args) > place:
                yield node, f"lower limit of {ast.unparse(node)[:60]}"


def _delete(tree: ast.Module, target: ast.stmt | ast.Call) -> None:
    if isinstance(target, ast.Call):
        assert isinstance(target.func, ast.Attribute)
        del target.args[_READERS[target.func.attr] :]
        return
    for node in ast.walk(tree):
        for name in ("body", "orelse", "handlers", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and target in block:
                block[block.index(target)] = ast.Pass()
                return


Case = tuple[str, str | None, int, str | None, str | None]
"""A text, the requester's statement, the work limit; claim and condition that must fail, if any."""


def cases() -> list[Case]:
    """Every forgery, and every honest certificate."""
    found: list[Case] = []
    forgeries: list[Forgery] = []
    for module in pkgutil.iter_modules(tests.checker.__path__):
        if module.name.startswith("test_"):
            loaded = importlib.import_module(f"tests.checker.{module.name}")
            forgeries += getattr(loaded, "FORGERIES", [])
    for forgery in forgeries:
        text = forgery.text(copy.deepcopy(honest(forgery.base)))
        found.append((text, forgery.asked, forgery.work, forgery.claim, forgery.condition))
    found += [(json.dumps(honest(name)), None, DEFAULT_LIMIT, None, None) for name in BASES]
    return sorted(found, key=lambda case: len(case[0]))


def is_noticed(mutation: Mutation, texts: Path, folder: Path) -> bool:
    """Whether some report differs without the condition."""
    shutil.copytree(SOURCE, folder / "checker", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "checker" / mutation.file).write_text(mutation.source, encoding="utf-8")
    command = [sys.executable, "-I", "-S", "-c", JUDGE, str(folder), str(texts)]
    try:
        return subprocess.run(command, timeout=120, check=False).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def main() -> int:
    """Print the conditions that no test notices, and the counts."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        texts = root / "cases.json"
        every = cases()
        texts.write_text(json.dumps(every), encoding="utf-8")
        whole = Mutation("errors.py", 0, "", (SOURCE / "errors.py").read_text(encoding="utf-8"))
        assert not is_noticed(whole, texts, root / "whole"), "the checker itself is at odds"
        found = list(mutations())

        def noticed(k: int) -> bool:
            return is_noticed(found[k], texts, root / str(k))

        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(noticed, range(len(found))))
    for mutation, seen in zip(found, results, strict=True):
        if not seen:
            print(f"not noticed: {mutation.file}:{mutation.line} {mutation.what}")
    print(f"{len(every)} certificates; {sum(results)} of {len(found)} deletions noticed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
