"""The reference implementations in `examples/runtimes/` give the product's own answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import environment
from tests.examples.compare import compare
from tests.examples.exported import KINDS, PROMPTS, SENTENCES, Exported, Kind, texts, write
from tests.examples.reference import RUNTIMES, reference

NODE = 20  # the first major version with all that is used
PACKAGES = ("onnxruntime-web", "@huggingface/tokenizers")
TASKS = {"lm": "score", "classify": "classify", "tag": "tag"}


@cache
def why_no_javascript() -> str:
    """Why the JavaScript reference cannot run here; empty where it can."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed"
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = found.stdout.strip().removeprefix("v").partition(".")[0]
    if not version.isdigit() or int(version) < NODE:
        return f"node {version} is older than {NODE}"
    if not all((RUNTIMES / "node_modules" / name).is_dir() for name in PACKAGES):
        return "its packages are not installed: npm ci in examples/runtimes"
    return ""


@pytest.fixture
def needs_node() -> None:
    if reason := why_no_javascript():
        pytest.skip(reason)


def check(exported: Exported, found: dict[str, Any]) -> None:
    """Compare answers to texts, to sentences of given words, and to prompts."""
    kind = exported.kind
    compare(kind, exported.answers(), found["answers"], texts())
    if kind.task == "tag":
        compare(kind, exported.of_words(), found["words"], SENTENCES)
    if kind.task == "lm":
        tolerance = 0.02 if kind.int8 else 2e-5
        for one, other in zip(exported.next_tokens(), found["next"], strict=True):
            np.testing.assert_allclose(other, one, 0, tolerance, err_msg=str(kind))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_python(kind: Kind, tmp_path: Path) -> None:
    exported = write(kind, tmp_path)
    model = reference().Model(exported.path)
    found = {
        "answers": list(map(getattr(model, TASKS[kind.task]), texts())),
        "words": list(map(model.tag, SENTENCES)) if kind.task == "tag" else [],
        "next": list(map(model.next_token, PROMPTS)) if kind.task == "lm" else [],
    }
    check(exported, found)


@pytest.mark.usefixtures("needs_node")
def test_javascript(tmp_path: Path) -> None:
    """One process answers for all models: it takes a second to start."""
    models = [write(kind, tmp_path) for kind in KINDS]
    asked = {
        "module": (RUNTIMES / "model.mjs").as_uri(),
        "models": [str(model.path) for model in models],
        "texts": texts(),
        "sentences": SENTENCES,
        "prompts": PROMPTS,
    }
    program = Path(__file__).parent / "answers.mjs"
    ran = run("node", program, stdin=json.dumps(asked))
    assert (ran.returncode, ran.stderr) == (0, "")
    for model, line in zip(models, ran.stdout.split("\n")[:-1], strict=True):
        check(model, json.loads(line))


def run(*command: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env=environment(),
        check=False,
    )


PYTHON, JAVASCRIPT = [sys.executable, RUNTIMES / "model.py"], ["node", RUNTIMES / "model.mjs"]
LINES = ["Two\nlines, and\u2028naïve café 你好 🙂", ""]


@pytest.mark.parametrize("command", [PYTHON, JAVASCRIPT], ids=["python", "javascript"])
def test_commands(command: list[object], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Texts are arguments, or JSON strings in the lines of standard input."""
    if command is JAVASCRIPT:
        request.getfixturevalue("needs_node")
    exported = write(Kind("classify", "bpe", "lstm", linear=True), tmp_path)
    wanted = reference().Model(exported.path)
    for given, stdin in ((LINES, ""), ([], "".join(f"{_json(line)}\n" for line in LINES))):
        ran = run(*command, exported.path, *given, stdin=stdin)
        assert (ran.returncode, ran.stderr) == (0, "")
        for line, text in zip(ran.stdout.split("\n")[:-1], LINES, strict=True):
            assert json.loads(line) == pytest.approx(wanted.classify(text), abs=1e-5)
    # Another model's graph beside the sidecar is refused.
    other = write(Kind("classify", "bpe", "rnn"), tmp_path)
    shutil.copy(other.path, exported.path)
    ran = run(*command, exported.path, "x")
    assert ran.returncode == 1
    assert "are of two exports: export the model again" in ran.stderr


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def test_the_models_are_of_every_kind() -> None:
    assert len(texts()) > 200
    for task in TASKS:
        of_task = [kind for kind in KINDS if kind.task == task]
        assert {kind.kind for kind in of_task} == {"bpe", "word", "char", "byte"}
        assert {kind.int8 for kind in of_task} == {True, False}
        assert {kind.cell for kind in of_task} >= {"lstm", "gru"}


def test_files_are_short_and_the_lock_names_no_registry() -> None:
    sources = [path for path in RUNTIMES.iterdir() if path.suffix in {".py", ".mjs"}]
    assert {path.name for path in sources} == {
        *("model.py", "linear.py", "crf.py", "splitter.py"),
        *("model.mjs", "linear.mjs", "crf.mjs", "splitter.mjs"),
    }
    assert all(len(path.read_text("utf-8").splitlines()) <= 300 for path in sources)
    assert "rnntext." not in (RUNTIMES / "model.py").read_text("utf-8").replace("rnntext.onnx", "")
    package, lock = (
        json.loads((RUNTIMES / name).read_text("utf-8"))
        for name in ("package.json", "package-lock.json")
    )
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    others = [entry for name, entry in lock["packages"].items() if name]
    assert all("integrity" in entry and "resolved" not in entry for entry in others)
