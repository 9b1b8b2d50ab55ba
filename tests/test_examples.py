"""Every script in examples/ runs on the sample text, and shows what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CORPORA, environment

EXAMPLES = Path(__file__).parents[1] / "examples"
# The data of each script, and the beginnings of lines that it must print.
CASES = {
    "classify.py": ("reviews.csv", ["validation accuracy ", "accuracy on all of the data "]),
    "language_model.py": (
        "stories.txt",
        ["step 10: loss ", "validation perplexity ", "saved as ", "The heron"],
    ),
    "tag.py": ("tagged.conllu", ["validation accuracy ", "accuracy in int8 ", "Captain/"]),
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(CASES)
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert all(f"`{name}`" in listed for name in CASES)


@pytest.mark.parametrize("name", CASES)
def test_example(name: str, tmp_path: Path) -> None:
    data, beginnings = CASES[name]
    command = [sys.executable, EXAMPLES / name, CORPORA / data, tmp_path / "model"]
    ran = subprocess.run(
        [*map(str, command), "--epochs", "1"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    if name == "classify.py":
        assert (tmp_path / "model-answers.png").read_bytes().startswith(b"\x89PNG")
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in lines), (beginning, ran.stdout)
