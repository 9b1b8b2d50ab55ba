"""What `evaluate` asks of a model, how it prints the metrics, and when bounds are met."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer

import rnntext.cli.evaluate
import rnntext.plotting.answer_figure
import rnntext.runtime.evaluate
import rnntext.runtime.model
from rnntext.answer_curves import Kind
from rnntext.cli.commands import click_command
from rnntext.errors import DataError, RnntextError, UsageError
from rnntext.runtime.answers import Answer, Mistake, Watch
from rnntext.text.formats import DataOptions
from tests.cli.screens import pipe, screen, written

RATES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}
METRICS = {"accuracy": 0.625, "f1": 1 / 3, "bits": None, "per_label": {"[N]": RATES}, "labels": []}
PRINTED = (
    "accuracy\t0.625\nf1\t0.333333\nbits\t\n"
    "precision.[N]\t0.5\nrecall.[N]\t0.25\nf1.[N]\t0.333333\nsupport.[N]\t4\n"
)


@dataclass
class Model:
    """A model that is opened and measured."""

    multi_label: bool = False
    trained_column: str = ""  # of the tags
    task: str = "classify"
    answers: list[Answer] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=lambda: METRICS)
    asked: list[Any] = field(default_factory=list)

    def open(self, directory: Path, threads: int | None) -> Any:
        self.asked.append((directory, threads))
        labels = ("neg", "pos")
        config = SimpleNamespace(multi_label=self.multi_label, task=self.task, labels=labels)
        saved = SimpleNamespace(tag_column=self.trained_column, is_trained=False)
        return SimpleNamespace(config=config, saved=saved if self.trained_column else None)

    def evaluate(
        self, opened: Any, data: list[str], options: DataOptions, watch: Watch | None
    ) -> dict[str, Any]:
        self.asked.append((data, options))
        if watch is not None:
            watch(self.answers)
        return self.metrics


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    fake = Model()
    monkeypatch.setattr(rnntext.runtime.model, "open_model", fake.open)
    monkeypatch.setattr(rnntext.runtime.evaluate, "evaluate", fake.evaluate)
    names = ("accuracy", "f1", "bits")
    monkeypatch.setattr(rnntext.runtime.evaluate, "metric_names", lambda config: names)
    monkeypatch.setattr(rnntext.runtime.evaluate, "label_names", lambda config: ("[N]", "a=b"))
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # the command sets it
    monkeypatch.delenv("RNNTEXT_MODEL", raising=False)
    return fake


def command(*words: str) -> None:
    built = click_command(rnntext.cli.evaluate.command, "evaluate")
    built(list(words), prog_name="evaluate", standalone_mode=False)


def test_what_a_model_is_asked(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    command("a.csv", "b.csv", "-m", "dir")
    command("-m", "dir", "--threads", "1", "a.csv")
    assert written(reader) == PRINTED * 2
    # Another split than in training is the usual one.
    options = DataOptions(label_column="label", split="test")
    assert model.asked == [
        (Path("dir"), None),
        (["a.csv", "b.csv"], options),
        (Path("dir"), 1),
        (["a.csv"], options),
    ]


def test_how_data_are_read(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.multi_label = True
    reader = pipe(monkeypatch)
    command(
        "a", "-m", "dir", "--format", "csv", "--text-column", "t", "--label-column", "l",
        "--tag-column", "4", "--label-separator", ";", "--split", "train", "--encoding",
        "latin-1", "--encoding-errors", "replace", "--max-line", "99",
    )  # fmt: skip
    wanted = DataOptions(
        format="csv", text_column="t", label_column="l", tag_column="4", multi_label=True,
        label_separator=";", encoding="latin-1", encoding_errors="replace", max_line=99,
        split="train",
    )  # fmt: skip
    assert model.asked[1] == (["a"], wanted)
    # An empty name of these two is none.
    command("a", "-m", "dir", "--split", "", "--label-column", "")
    assert model.asked[3] == (["a"], DataOptions(multi_label=True, split="test"))
    assert written(reader) == PRINTED * 2
    with pytest.raises(UsageError, match="--format : choose one of csv"):
        command("a", "-m", "dir", "--format", "")


def test_what_cannot_be_measured(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    screen(monkeypatch, "stdin")
    for words, message in (
        (["a.csv"], "no model is named: use -m DIR, or set RNNTEXT_MODEL"),
        (["-", "-m", "dir"], "there is no text to read: name a file, or pipe text in"),
    ):
        with pytest.raises(UsageError) as error:
            command(*words)
        assert str(error.value) == message
    assert model.asked == []


# Printing


def test_json_has_all_metrics(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--json")
    rates = {"precision": 0.5, "recall": 0.25, "f1": 0.333333, "support": 4}
    wanted = {"accuracy": 0.625, "f1": 0.333333, "bits": None, "per_label": {"[N]": rates}}
    assert json.loads(written(reader)) == {**wanted, "labels": []}


def test_a_terminal_has_a_table_of_the_labels(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = screen(monkeypatch)
    command("a.csv", "-m", "dir")
    lines = [line.split() for line in terminal.shown.splitlines()]
    assert lines[0] == ["dir"]
    assert ["│", "accuracy", "│", "0.625", "│"] in lines
    assert ["by", "label"] in lines
    assert ["│", "[N]", "│", "0.5000", "│", "0.2500", "│", "0.3333", "│", "4", "│"] in lines


# Labels that the model does not know


def test_gold_labels_that_the_model_does_not_know_are_named(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"[N]": 4, "new\n": 2, "a=b": 0, "never": 0, "naïve café": 1003}
    scores = {label: {**RATES, "support": support} for label, support in labels.items()}
    model.metrics = {"accuracy": 0.5, "per_label": scores}
    reader, errors = pipe(monkeypatch), pipe(monkeypatch, "stderr")
    command("a.csv", "-m", "dir", "--json")
    assert json.loads(written(reader))["accuracy"] == 0.5
    assert written(errors, "stderr") == (
        "rnntext: the model does not know these 2 labels of the data, and misses them: "
        "naïve café (1,003), 'new\\n' (2)\n"
    )
    reader, errors = pipe(monkeypatch), pipe(monkeypatch, "stderr")
    command("a.csv", "-m", "dir", "--json", "-q")
    assert written(errors, "stderr") == ""
    written(reader)
    del scores["new\n"]
    reader, errors = pipe(monkeypatch), pipe(monkeypatch, "stderr")
    command("a.csv", "-m", "dir", "--json")
    assert "know this label of the data, and misses it: naïve" in written(errors, "stderr")
    written(reader)


def test_hundreds_of_unknown_labels_are_one_short_line(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [f"Aspect=Perf|Mood=Ind|Number=Sing|Person={n}|Tense=Past" for n in range(300)]
    model.metrics = {"per_label": {label: {**RATES, "support": 1} for label in labels}}
    reader, errors = pipe(monkeypatch), pipe(monkeypatch, "stderr")
    command("a.csv", "-m", "dir", "--json")
    line = written(errors, "stderr")
    assert line.count("\n") == 1
    assert len(line) < 300
    assert line.endswith(f"misses them: {labels[0]} (1), {labels[1]} (1) and 298 more\n")
    written(reader)


def test_tags_of_another_column_are_told(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.trained_column = "feats"
    for given, told in (
        (("--tag-column", "upos"), "the tags are those of column upos"),
        ((), "the tags are those of the last column or upos"),
        (("--tag-column", "6"), ""),
    ):
        reader, errors = pipe(monkeypatch), pipe(monkeypatch, "stderr")
        # Columns of CoNLL have no names: what was recorded is of no use.
        command("a.conll", "-m", "dir", "--json", *given)
        found = written(errors, "stderr")
        wanted = f"rnntext: {told}, the model was trained on those of feats\n" if told else ""
        assert found == wanted
        written(reader)


# Mistakes


def wrong(probability: float, **more: Any) -> Answer:
    mistake = Mistake(probability, **{**WRONG, **more})
    return Answer("a.csv", 7, {}, mistake.gold, mistake.predicted, probability, (mistake,))


WRONG: dict[str, Any] = {
    "gold": "neg", "predicted": "pos", "source": "a.csv", "line": 7,
    "text": "naïve\tcafé\n你好 🙂", "gold_probability": 0.25,
}  # fmt: skip


def test_the_worst_mistakes_in_a_pipe(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.answers = [wrong(0.5), wrong(0.75, line=9), wrong(0.6)]
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "2")
    assert written(reader) == PRINTED + (
        "\n"
        "0.7500\tneg\tpos\ta.csv:9\tnaïve café 你好 🙂\n"
        "0.6000\tneg\tpos\ta.csv:7\tnaïve café 你好 🙂\n"
    )
    # Of several labels, and of a tagger's word.
    model.multi_label = True
    model.answers = [wrong(0.5, gold=(), predicted=("a", "b"), label="b")]
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "9", "--label-separator", ";")
    assert written(reader).endswith("\n\n0.5000\t\ta;b\ta.csv:7\tnaïve café 你好 🙂\n")
    model.answers = [wrong(0.5, word="café")]
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "9")
    assert written(reader).endswith("\n0.5000\tneg\tpos\ta.csv:7\tcafé\tnaïve café 你好 🙂\n")
    model.answers = []
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "9")
    assert written(reader) == PRINTED


def test_the_worst_mistakes_as_json(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    several = {"gold": ("a",), "predicted": (), "gold_probability": None, "label": "a"}
    model.answers = [wrong(0.50000049), wrong(0.75, **several)]
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "5", "--json")
    found = json.loads(written(reader))
    assert list(found)[-1] == "errors"
    where = {"source": "a.csv", "line": 7, "text": WRONG["text"]}
    assert found["errors"] == [
        {"probability": 0.75, "gold": ["a"], "predicted": [], "label": "a", **where},
        {
            "probability": 0.5, "gold_probability": 0.25, "gold": "neg", "predicted": "pos", **where
        },
    ]  # fmt: skip
    model.answers = []
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "5", "--json")
    assert json.loads(written(reader))["errors"] == []


def test_the_worst_mistakes_on_a_terminal(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "/a/long/path/of/folders/before/the/name/of/a.csv"
    model.answers = [wrong(0.5, gold="[N]" * 20, source=place, text="naïve \x1b[31mcafé " * 99)]
    terminal = screen(monkeypatch, columns=130)
    command("a.csv", "-m", "dir", "--errors", "5")
    lines = terminal.shown.split("worst mistakes")[1].splitlines()
    assert max(map(len, lines)) == 130
    head, row = (
        [cell.strip() for cell in line.split(line[0])[1:-1]] for line in (lines[2], lines[4])
    )
    assert head == ["probability", "gold", "predicted", "where", "text"]
    assert row[:4] == [
        "0.5000", "[N][N][N][N][N][N][N][N…", "pos", "…ders/before/the/name/of/a.csv:7"
    ]  # fmt: skip
    assert row[4].startswith("naïve  [31mcafé naïve")
    assert row[4].endswith("…")
    # The text keeps some room on a narrow terminal.
    terminal = screen(monkeypatch, columns=20)
    command("a.csv", "-m", "dir", "--errors", "5")
    assert "naïve  [31mcafé…" in terminal.shown
    model.answers = []
    terminal = screen(monkeypatch)
    command("a.csv", "-m", "dir", "--errors", "5")
    assert terminal.shown.endswith("no mistakes\n")


# Predictions


def test_predictions_are_written_beside_the_metrics(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model.answers = [wrong(0.5), Answer("a.csv", 8, {"id": 3}, "neg", "neg", 0.75)]
    for words in ([], ["--errors", "1"]):
        reader = pipe(monkeypatch)
        file = tmp_path / "p.jsonl"
        command("a.csv", "-m", "dir", "--predictions", str(file), *words)
        assert written(reader).startswith(PRINTED + ("\n0.5000" if words else ""))
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        assert [row["line"] for row in rows] == [7, 8]
        assert rows[1]["id"] == 3
        file.unlink()
    # Several labels stand in a table as they do in the data.
    model.multi_label = True
    model.answers = [Answer("a", 8, {"text": "t"}, ("x", "y"), ("y",), (0.5,))]
    file = tmp_path / "p.TSV"
    args = ("a.csv", "-m", "dir", "--predictions", str(file))
    for words, labels in (((), "x,y"), (("--label-separator", " | "), "x | y")):
        reader = pipe(monkeypatch)
        command(*args, *words)
        written(reader)
        assert file.read_text().splitlines()[1].split("\t")[1] == labels


def test_predictions_that_cannot_be_written(model: Model, tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text("text,label\n")
    for file, message in (
        (data, "is read by this command"),
        (tmp_path, "is a directory: name a file with --predictions"),
    ):
        with pytest.raises(UsageError, match=message):
            command(str(data), "-m", "dir", "--predictions", str(file))
    assert all(len(asked) == 2 and asked[0] == Path("dir") for asked in model.asked)
    with pytest.raises(RnntextError, match=r"choose another place with --predictions"):
        command(str(data), "-m", "dir", "--predictions", str(tmp_path / "none" / "p.csv"))
    assert data.read_text() == "text,label\n"


# Pictures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The curves, titles and formats that are drawn."""
    found: list[Any] = []

    def render(curves: Any, title: str, file_format: str) -> bytes:
        found.append((curves, title, file_format))
        return b"a picture"

    monkeypatch.setattr(rnntext.plotting.answer_figure, "render_answers", render)
    logger = logging.getLogger("matplotlib")
    before = logger.level
    yield found
    logger.setLevel(before)


def test_a_picture_is_written_beside_the_metrics(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drawn: list[Any]
) -> None:
    """All that is printed stays; an existing file is replaced."""
    model.answers = [
        Answer("a", 1, {}, "neg", "neg", 0.75, scores=np.array([0.75, 0.25])),
        replace(wrong(0.625), scores=np.array([0.375, 0.625])),
    ]
    out, file = tmp_path / "p.PNG", tmp_path / "p.jsonl"
    out.write_bytes(b"another picture")
    args = ("a.csv", "-m", "dir", "-o", str(out), "--errors", "1", "--predictions", str(file))
    reader = pipe(monkeypatch)
    command(*args)
    assert written(reader).startswith(f"{PRINTED}\n0.6250\tneg\tpos\t")
    assert out.read_bytes() == b"a picture"
    assert len(file.read_text("utf-8").splitlines()) == 2
    assert sorted(tmp_path.iterdir()) == [out, file]
    ((curves, *more),) = drawn
    assert more == ["dir", "png"]
    assert (curves.answers, curves.accuracy.tolist()) == (2, [1.0, 0.5])
    # It is the same picture without the others, and what is drawn of several labels is told apart.
    model.multi_label = True
    model.answers = [Answer("a", 1, {}, (), (), (), scores=np.array([0.25, 0.125]))]
    reader = pipe(monkeypatch)
    command("a.csv", "-m", "dir", "--output", str(tmp_path / "q.svg"))
    assert written(reader) == PRINTED
    assert drawn[1][1:] == ("dir", "svg")
    assert drawn[1][0].kind is Kind.SET


def test_a_terminal_shows_the_same_with_a_picture(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drawn: list[Any]
) -> None:
    shown = []
    for words in ([], ["-o", str(tmp_path / "a.png")]):
        terminal = screen(monkeypatch)
        command("a.csv", "-m", "dir", *words)
        shown.append(terminal.getvalue())
    assert shown[0] == shown[1]
    assert len(drawn) == 1


def test_pictures_that_cannot_be_written(
    model: Model, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with the name is told before the model is opened, and all else before it is
    asked anything."""
    data, folder = tmp_path / "data.svg", tmp_path / "folder.png"
    data.write_text("text,label\n")
    folder.mkdir()
    both = str(tmp_path / "p.svg")
    for words, opened, message in (
        (["-o", "a.pdf"], 0, "-o a.pdf: a picture's name ends in .png or .svg"),
        (["-o", str(folder)], 0, f"{folder} is a directory: name a file with -o"),
        (["-o", str(data)], 1, f"-o {data} is read by this command: name another file"),
        (
            ["-o", both, "--predictions", str(folder / ".." / "p.svg")],
            1,
            f"-o {both} is the file of --predictions too: name another file",
        ),
    ):
        model.asked.clear()
        with pytest.raises(UsageError) as error:
            command(str(data), "-m", "dir", *words)
        assert str(error.value) == message
        assert len(model.asked) == opened
    model.asked.clear()
    with pytest.raises(RnntextError, match=r"choose another place with -o"):
        command(str(data), "-m", "dir", "-o", str(tmp_path / "none" / "p.svg"))
    assert len(model.asked) == 1
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"needs the package matplotlib, .*rnntext\[plot\]"):
        command(str(data), "-m", "dir", "-o", both)
    assert drawn == []
    assert sorted(tmp_path.iterdir()) == [data, folder]


def test_an_evaluation_that_fails_leaves_the_old_picture(
    model: Model, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Any:
        raise DataError("line 3 is no record")

    monkeypatch.setattr(rnntext.runtime.evaluate, "evaluate", fail)
    out = tmp_path / "p.png"
    out.write_bytes(b"another picture")
    with pytest.raises(DataError):
        command("a.csv", "-m", "dir", "-o", str(out))
    assert out.read_bytes() == b"another picture"
    assert [*tmp_path.iterdir()] == [out]


@pytest.mark.parametrize("words", [["--errors", "3"], ["--predictions", "p.csv"], ["-o", "p.png"]])
def test_a_language_model_has_no_mistakes(words: list[str], model: Model) -> None:
    model.task = "lm"
    with pytest.raises(UsageError) as error:
        command("a.csv", "-m", "dir", *words)
    message = f"{words[0]} is for a classifier or a tagger: dir is a language model"
    assert str(error.value) == message
    assert len(model.asked) == 1  # nothing is measured


# Bounds


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (["--min", "accuracy=0.625"], []),
        (["--max", "accuracy=0.625"], []),
        (["--min", "accuracy=0.6", "--max", "accuracy=0.7"], []),
        (["--min", " accuracy =0.625"], []),
        (["--min", "accuracy=0.63"], ["accuracy is 0.625, less than 0.63"]),
        (["--max", "accuracy=0.62"], ["accuracy is 0.625, more than 0.62"]),
        (["--min", "accuracy=0.7", "--min", "f1=0.3"], ["accuracy is 0.625, less than 0.7"]),
        (["--min", "accuracy=0.6", "--min", "f1=0.4"], ["f1 is 0.333333, less than 0.4"]),
        (["--min", "f1=0.3", "--max", "f1=0.31"], ["f1 is 0.333333, more than 0.31"]),
        (["--min", "recall.[N]=0.25", "--max", "support.[N]=4"], []),
        (["--max", "precision.[N]=0.4"], ["precision.[N] is 0.5, more than 0.4"]),
        (
            ["--min", "f1.a=b=0.5"],
            ["f1.a=b is 0, less than 0.5 (no gold label of the data is this one)"],
        ),
        (
            ["--max", "f1=-1", "--min", "accuracy=1", "--min", "f1=1000000"],
            [
                "accuracy is 0.625, less than 1",
                "f1 is 0.333333, less than 1e+06",
                "f1 is 0.333333, more than -1",
            ],
        ),
    ],
)
def test_bounds(
    bounds: list[str], said: list[str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metrics are printed in any case; the exit status is 3 if a bound is not met."""
    for quiet in ([], ["-q"]):
        reader, errors = pipe(monkeypatch), pipe(monkeypatch, "stderr")
        arguments = ["a.csv", "-m", "dir", *bounds, *quiet]
        if said:
            with pytest.raises(typer.Exit) as end:
                rnntext_exit(arguments)
            assert end.value.exit_code == 3
        else:
            rnntext_exit(arguments)
        assert written(reader) == PRINTED
        wanted = "" if quiet else "".join(f"rnntext: {line}\n" for line in said)
        assert written(errors, "stderr") == wanted


def rnntext_exit(words: list[str]) -> None:
    """Run the command; a status other than 0 is raised as the command raises it."""
    built = click_command(rnntext.cli.evaluate.command, "evaluate")
    status = built(words, prog_name="evaluate", standalone_mode=False)
    if status:
        raise typer.Exit(status)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (["--min", "bleu=1"], "there is no metric 'bleu' here: there are accuracy, f1, bits"),
        (["--max", "bleu=1"], "there is no metric 'bleu' here: there are accuracy, f1, bits"),
        (["--min", "f1=0", "--max", "per_label=1"], "there is no metric 'per_label' here: "),
        (["--min", "f1.new=1"], "there is no label 'new' here: there are [N], a=b"),
        (["--min", "auc.[N]=1"], "there is no metric 'auc.[N]' here: there are accuracy, f1, bits"),
        (["--min", "f1.[N]=x"], "--min f1.[N]=x: write METRIC=VALUE, as accuracy=0.9; "),
        (["--min", "f1"], "--min f1: write METRIC=VALUE, as accuracy=0.9; "),
        (["--max", "f1=much"], "--max f1=much: write METRIC=VALUE, as accuracy=0.9; "),
        (["--max", "f1=1=2"], "--max f1=1=2: write METRIC=VALUE"),
        (["--min", "f1=nan"], "--min f1=nan: write METRIC=VALUE"),
    ],
)
def test_bounds_that_cannot_be(bounds: list[str], message: str, model: Model) -> None:
    with pytest.raises(UsageError) as error:
        command("a.csv", "-m", "dir", *bounds)
    assert str(error.value).startswith(message)
    # Nothing is measured for that.
    assert len(model.asked) <= 1


@pytest.mark.parametrize("flag", ["--min", "--max"])
def test_a_bound_of_a_metric_that_is_not_known_of_the_model(
    flag: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch)
    with pytest.raises(RnntextError) as error:
        command("a.csv", "-m", "dir", flag, "bits=1")
    assert str(error.value) == "bits is not known of this model: leave it out"
    assert written(reader) == PRINTED
