"""`rnntext plot`: in pipes, in files and on terminals."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from tests.cli.test_streams import ESCAPE, on_terminal, plain
from tests.conftest import RNNTEXT, Outcome, Shell, environment
from tests.plotting.test_curves import EVALUATION, STEP, log, write_run

NAME = "naïve café 你好 🙂 [bold]"


def steps(count: int, rate: float = 1.0) -> list[dict[str, Any]]:
    """A log whose perplexity improves for the first four fifths of the steps."""
    lines = []
    for step in range(10, count + 1, 10):
        loss = 4.5 + 5 * math.exp(-step * rate / 400)
        lines.append({**STEP, "step": step, "seconds": step / 8, "loss": loss})
        if step % 100 == 0:
            perplexity = math.exp(loss) + max(0, step - 0.8 * count)
            lines.append(
                {
                    **EVALUATION,
                    "step": step,
                    "seconds": step / 8,
                    "best": step <= 0.8 * count,
                    "perplexity": perplexity,
                }
            )
    return lines


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with several runs."""
    folder = tmp_path / "runs"
    write_run(folder / "short", "lm", log(STEP, EVALUATION) + b'{"event": "st')
    write_run(folder / "old", "lm", log({k: v for k, v in EVALUATION.items() if k != "event"}))
    write_run(folder / "a", "lm", log(*steps(2000)))
    write_run(folder / NAME, "lm", log(*steps(1500, 2.0)))
    write_run(folder / "tags", "tag", log(STEP))
    return folder


SHORT = [
    "short\t10\tloss\t6.91",
    "short\t10\tlearning_rate\t0.0000003",
    "short\t10\tgradient_norm\t0.42",
    "short\t20\tperplexity\t310.2",
    "short\t20\ttokens\t76",
]
OLD = ["old\t20\tloss\t6.1", "old\t20\tperplexity\t310.2", "old\t20\ttokens\t76"]


def test_a_line_a_value(run: Shell, runs: Path) -> None:
    assert run("plot", "short", cwd=runs).done().lines == SHORT
    assert run("plot", "old/", "short", "old", cwd=runs).done().lines == [*OLD, *SHORT]
    found = run("plot", "old", "short", "--metric", "loss", cwd=runs).done()
    assert found.lines == [OLD[0], SHORT[0]]
    found = run("plot", "short", "--metric", "tokens", "--x", "seconds", cwd=runs).done()
    assert found.lines == ["short\t12.5\ttokens\t76"]


def test_an_object_a_row(run: Shell, runs: Path) -> None:
    found = run("plot", "old", "short", "--json", cwd=runs).done()
    evaluation = (
        '{"run": "%s", "event": "evaluation", "step": 20, "epoch": 1, "seconds": 12.5,'
        ' "best": true, "loss": 6.1, "perplexity": 310.2, "tokens": 76}'
    )
    assert found.lines == [
        evaluation % "old",
        '{"run": "short", "event": "step", "step": 10, "epoch": 0, "seconds": 1.2,'
        ' "loss": 6.91, "learning_rate": 3e-07, "gradient_norm": 0.42}',
        evaluation % "short",
    ]
    found = run("plot", "old", "short", "--json", "--metric", "loss", cwd=runs).done()
    assert [(row["run"], row["event"], row["loss"]) for row in found.objects] == [
        ("old", "evaluation", 6.1),
        ("short", "step", 6.91),
    ]
    assert "perplexity" not in found.objects[0]


def test_names_that_would_break_a_line(run: Shell, runs: Path) -> None:
    os.rename(runs / "old", runs / "a\tb\nc")
    found = run("plot", "a\tb\nc", "--metric", "loss", cwd=runs).done()
    assert found.lines == ["a b c\t20\tloss\t6.1"]


def test_a_trained_model(run: Shell, tagger: Path) -> None:
    rows = [line.split("\t") for line in run("plot", tagger).done().lines]
    accuracies = [float(value) for _, _, name, value in rows if name == "accuracy"]
    (facts,) = run("info", tagger, "--json").done().objects
    assert max(accuracies) == pytest.approx(facts["accuracy"], abs=1e-6)


@pytest.mark.parametrize(
    ("args", "status", "parts"),
    [
        (["none"], 1, ["none does not exist"]),
        (["a", "."], 1, [". has no config.json: it is not an rnntext checkpoint"]),
        (["a", "broken"], 1, ["broken/metrics.jsonl, line 2 is damaged"]),
        (["tags", "a", "old"], 2, ["(language model: a, old; tagger: tags)"]),
        (["a", "--metric", "x"], 2, ["'x'", "loss, learning_rate, gradient_norm, perplexity, "]),
        (["a", "--x", "hours"], 2, ["--x is one of steps, seconds, not 'hours'"]),
        (["a", "-o", "x.pdf"], 2, ["-o x.pdf: a picture's name ends in .png or .svg"]),
        (["a", "-o", "x"], 2, ["-o x: a picture's name"]),
        (["a", "-o", "folder.png"], 2, ["folder.png is a directory"]),
        (["a", "-o", "none/x.png"], 1, ["cannot write none/x.png: No such file"]),
        (["a", "-o", "a/config.json/x.svg"], 1, ["x.svg: Not a directory; choose another place"]),
        ([], 2, ["DIR"]),
    ],
)
def test_what_cannot_be_plotted(
    args: list[str], status: int, parts: list[str], run: Shell, runs: Path
) -> None:
    write_run(runs / "broken", "lm", log(STEP) + b'{"st\n' + log(EVALUATION))
    (runs / "folder.png").mkdir()
    before = sorted(runs.rglob("*"))
    found = run("plot", *args, cwd=runs)
    found.failed(status, *parts)
    assert found.out == b""
    assert sorted(runs.rglob("*")) == before


# Pictures


def test_pictures(run: Shell, runs: Path) -> None:
    for name in ("x.svg", "again.svg", "x.PNG"):
        assert run("plot", "a", NAME, "-o", name, cwd=runs).done().out == b""
    svg = (runs / "x.svg").read_bytes()
    assert (runs / "again.svg").read_bytes() == svg
    texts = {"".join(t.itertext()) for t in ElementTree.fromstring(svg).iter() if "text" in t.tag}  # noqa: S314
    assert any(text.startswith(f"{NAME} (best: perplexity ") for text in texts)
    assert any(text.endswith(" at step 1600)") for text in texts)
    assert (runs / "x.PNG").read_bytes().startswith(b"\x89PNG")
    # Another metric gives another picture, which replaces the old one.
    run("plot", "a", NAME, "-o", "x.svg", "--metric", "gradient_norm", cwd=runs).done()
    assert b">gradient_norm, smoothed<" in (runs / "x.svg").read_bytes()
    found = run("plot", "old", "-o", "old.svg", "--json", cwd=runs).done()
    assert found.objects[0]["loss"] == 6.1
    assert (runs / "old.svg").exists()


def test_a_disk_that_fills(run: Shell, runs: Path) -> None:
    (runs / "x.svg").write_text("the old one")
    before = sorted(os.listdir(runs))
    line = 'ulimit -f 8; trap "" XFSZ; "$@"'
    found = subprocess.run(
        ["bash", "-c", line, "bash", *RNNTEXT, "plot", "a", "-o", "x.svg"],
        capture_output=True,
        cwd=runs,
        env=environment(),
        timeout=60,
        check=False,
    )
    outcome = Outcome(found.returncode, found.stdout, found.stderr.decode())
    outcome.failed(1, "cannot write x.svg: File too large; free some space")
    assert (runs / "x.svg").read_text() == "the old one"
    assert sorted(os.listdir(runs)) == before


def test_without_matplotlib(run: Shell, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "matplotlib.py").write_text("raise ModuleNotFoundError('hidden')")
    path = os.pathsep.join([str(tmp_path / "hidden"), *os.environ.get("PYTHONPATH", "").split(":")])
    env = {"PYTHONPATH": path}
    run.fresh("plot", "a", "-o", "x.svg", cwd=runs, env=env).failed(
        2, "pip install 'rnntext[plot]'"
    )
    assert not (runs / "x.svg").exists()
    # Text output does not need Matplotlib.
    assert run.fresh("plot", "short", cwd=runs, env=env).done().lines == SHORT


# Terminals


def shown(run: Shell, *args: object, columns: int = 80, rows: int = 24, **kwargs: Any) -> bytes:
    """The output on a terminal of this size."""
    found, text = on_terminal(run, *args, size=(rows, columns), **kwargs)
    assert found.done().out == b""
    return text


@pytest.mark.parametrize("size", [(80, 24), (120, 50), (50, 18)])
def test_a_terminal(size: tuple[int, int], run: Shell, runs: Path) -> None:
    columns, rows = size
    text = shown(run, "plot", "a", NAME, cwd=runs, columns=columns, rows=rows)
    assert ESCAPE in text
    lines = plain(text).split("\n")
    assert lines.pop() == ""
    assert max(map(cell_len, lines)) <= columns
    assert rows - 3 <= len(lines) <= rows - 1
    assert lines[0].startswith("━ a (best: perplexity ")
    assert lines[1].startswith(f"━ {NAME} (best: ")
    titles = [line.strip() for line in lines if line.strip() in ("loss, smoothed", "perplexity")]
    assert titles == ["loss, smoothed", "perplexity"]
    assert sum(line.count("●") for line in lines) == 2
    assert lines[-1].startswith("steps")
    assert any("\u2800" < char <= "\u28ff" for line in lines for char in line)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours(env: dict[str, str], run: Shell, runs: Path) -> None:
    text = shown(run, "plot", "a", "old", columns=60, cwd=runs, env=env)
    assert b"\x1b" not in text
    lines = plain(text).split("\n")
    assert text.isascii()
    assert max(map(len, lines)) == 60
    assert lines[0].startswith("* a (best: perplexity ")
    assert lines[1].startswith("+ old (best: perplexity 310.2 at step 20)")
    curves = "".join(line.partition("|")[2] for line in lines[2:])
    assert curves.count("@") == 2
    assert curves.count("*") > 100


def test_a_terminal_shows_json_and_draws_files(run: Shell, runs: Path) -> None:
    text = shown(run, "plot", "short", "--json", cwd=runs)
    assert plain(text) == run("plot", "short", "--json", cwd=runs).done().text
    assert shown(run, "plot", "short", "-o", "x.png", cwd=runs) == b""
    assert (runs / "x.png").exists()
