"""docs/architecture.md and the rules of the house are true of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnntext.graphs.common import TaskGraph
from rnntext.runtime.task import RuntimeTask
from rnntext.tasks import TASKS, task_module
from rnntext.training.comparison.base import ComparedTask
from rnntext.training.onnx.common import GraphCheck
from rnntext.training.tasks.base import Task

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rnntext"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
LONGEST_FILE = 500  # lines


def test_every_path_in_the_document_exists() -> None:
    paths = set(re.findall(r"`(rnntext/[\w/.]+)`", DOCUMENT))
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_document_lists_every_room() -> None:
    rooms = DOCUMENT.split("## Rooms")[1].split("Imports go one way")[0]
    listed = set(re.findall(r"^ +([\w.]+(?:/|\.py)) ", rooms, re.MULTILINE))
    folders = {f"{p.name}/" for p in PACKAGE.rglob("*") if p.is_dir() and any(p.glob("*.py"))}
    top = {path.name for path in PACKAGE.glob("*.py")}
    training = {path.name for path in (PACKAGE / "training").glob("*.py")} - {"__init__.py"}
    assert folders | top | training <= listed
    assert listed <= folders | top | training | {
        f"{path.name}/" for path in ROOT.iterdir() if path.is_dir()
    } | {"rnntext/"}


@pytest.mark.parametrize("task", TASKS)
def test_every_room_has_a_module_for_each_task(task: str) -> None:
    assert isinstance(task_module("training.tasks", task).TASK, Task)
    assert task_module("training.tasks", task).TASK.name == task
    assert callable(task_module("training.networks", task).build)
    assert isinstance(task_module("graphs", task).GRAPH, TaskGraph)
    assert isinstance(task_module("training.onnx", task).CHECK, GraphCheck)
    assert isinstance(task_module("training.comparison", task).COMPARED, ComparedTask)
    assert isinstance(task_module("runtime", task).RUNTIME, RuntimeTask)


def comparisons(tree: ast.AST) -> Iterator[ast.AST]:
    """Comparisons and match cases with the name of a task."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                values = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
                if any(isinstance(v, ast.Constant) and v.value in TASKS for v in values):
                    yield node
        case = node.value if isinstance(node, ast.MatchValue) else None
        if isinstance(case, ast.Constant) and case.value in TASKS:
            yield node


def test_nothing_asks_for_a_task_by_its_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"  # type: ignore[attr-defined]
        for path in MODULES
        for node in comparisons(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_says_what_it_knows_and_is_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    # A command's module, and a room's own, need no more than a line.
    if PACKAGE / "cli" not in path.parents and path.name != "__init__.py":
        assert "Knows" in docstring


def test_private_parts_of_libraries_are_named_in_one_module() -> None:
    private = re.compile(
        r"\b(?:torch|onnx|onnxruntime|typer|atexit|numpy|np)(?:\.\w+)*\.(?:_[a-z]|capi\b)"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in MODULES
        if path.name != "private.py"
        for match in private.finditer(path.read_text("utf-8"))
    ]
    assert found == []
