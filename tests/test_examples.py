"""Every script in examples/ runs on the sample text, and shows what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import read_table, write_table

from tests.conftest import CORPORA, Shell, environment

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
    names = {*CASES, "many_files.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == names
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert all(f"`{name}`" in listed for name in names)


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


def test_many_files_have_the_answers_of_the_command(
    run: Shell, classifier: Path, tmp_path: Path
) -> None:
    """Two processes open the model, each for several files; a second run has nothing to do."""
    texts = [line for line in (CORPORA / "stories.txt").read_text("utf-8").splitlines() if line]
    texts = [*texts[:299], ""]
    data, answered = tmp_path / "data", tmp_path / "answered"
    data.mkdir()
    for part in range(4):
        rows = [{"id": n, "text": texts[n]} for n in range(part * 75, part * 75 + 75)]
        write_table(pyarrow.Table.from_pylist(rows), data / f"{part}.parquet")
    command = [sys.executable, EXAMPLES / "many_files.py", classifier, data, answered]
    for said in ("answered 300 rows in 4 files", "answered 0 rows in 0 files"):
        ran = subprocess.run(
            [*map(str, command), "--workers", "2"],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{said}\n", "")
    files = sorted(answered.iterdir())
    found = [row for path in files for row in read_table(path).to_pylist()]
    stdin = "".join(f"{text}\n" for text in texts).encode()
    command = ["classify", "-m", classifier, "--threads", 1, "--json"]
    printed = run(*command, stdin=stdin).done().objects
    assert [(row["id"], row["text"]) for row in found] == list(enumerate(texts))
    assert [row["label"] for row in found] == [row["label"] for row in printed]
    wanted = [row["probability"] for row in printed]
    assert [row["probability"] for row in found] == pytest.approx(wanted, abs=1e-6)
