"""What shells are offered for the word at the cursor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnntext.cli.completion import METRICS, completion_of, of_metavar
from rnntext.cli.inspect import VIEWS
from rnntext.cli.main import COMMANDS, make_app
from rnntext.errors import UsageError
from rnntext.metrics import (
    LANGUAGE_MODEL_METRICS,
    classification_metric_names,
    tagging_metric_names,
)
from rnntext.private import keep_completion_help, keep_words_of_bash
from rnntext.text.labelled import CLASSIFY_FORMATS
from rnntext.text.lines import LM_FORMATS
from rnntext.text.source import Decoding
from rnntext.text.tagged import CONLLU_COLUMNS, TAG_FORMATS

SHELLS = ("bash", "zsh", "fish")
LABELS = ("lm", "classify", "tag")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a shell prints or runs for a line that ends at the cursor."""

    def offered(line: str, shell: str = "bash") -> str:
        import typer

        keep_completion_help(typer)
        keep_words_of_bash(typer)
        monkeypatch.setenv("_RNNTEXT_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        with pytest.raises(SystemExit) as end:
            make_app()(prog_name="rnntext", standalone_mode=False)
        assert end.value.code == 0
        return capsys.readouterr().out

    return offered


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("rnntext ", (*COMMANDS, "help")),
        ("rnntext train ", LABELS),
        ("rnntext train c", ("classify",)),
        ("rnntext train lm --preset ", ("tiny", "small", "medium", "large")),
        ("rnntext train lm --cell g", ("gru",)),
        ("rnntext train -o x tag --tokenizer ", ("bpe", "word", "char", "byte")),
        ("rnntext train lm --select ", ("perplexity", "loss")),
        ("rnntext train classify x.csv --select m", ("macro_f1", "micro_f1")),
        ("rnntext train tag --device c", ("cpu", "cuda")),
        ("rnntext train lm --format ", LM_FORMATS),
        ("rnntext train classify --format ", CLASSIFY_FORMATS),
        ("rnntext train tag --format ", TAG_FORMATS),
        ("rnntext train tag --tag-column ", tuple(CONLLU_COLUMNS)),
        ("rnntext train lm --encoding-errors ", ("strict", "replace")),
        ("rnntext train lm --encoding utf-1", ("utf-16", "utf-16-be", "utf-16-le")),
        ("rnntext train lm --split t", ("train", "test")),
        ("rnntext evaluate --format con", ("conllu", "conll")),
        ("rnntext evaluate --min acc", ("accuracy=",)),
        ("rnntext classify --on-error ", ("fail", "null", "skip")),
        ("rnntext classify --record ", ("line", "file")),
        ("rnntext classify --encoding latin", ("latin-1",)),
        ("rnntext score --state ", ("reset", "carry")),
        ("rnntext embed --pool ", ("mean", "max", "last")),
        ("rnntext plot --x ", ("steps", "seconds")),
        ("rnntext plot --metric ", ("perplexity", "micro_f1", "accuracy", "f1")),
        ("rnntext inspect ", tuple(VIEWS)),
        ("rnntext inspect states --part ", ("hidden", "cell")),
        ("rnntext inspect states --track ", ("quotes", "length", "position")),
        ("rnntext compare ", (*LABELS, "memory")),
        ("rnntext compare lm --preset t", ("tiny",)),
        ("rnntext compare memory --task ", ("recall", "agreement")),
        ("rnntext help tr", ("train",)),
        ("rnntext help train ", LABELS),
        ("rnntext help train lm ", ()),
        ("rnntext help nonsense ", ()),
    ],
)  # fmt: skip
def test_values(line: str, values: tuple[str, ...], offered: Any) -> None:
    assert tuple(offered(line).split()) == values


@pytest.mark.parametrize(
    "line",
    [
        "rnntext train lm ",
        "rnntext train lm --valid ",
        "rnntext train lm -o ",
        "rnntext classify -m ",
        "rnntext info ",
        "rnntext train lm --hidden ",
    ],
)
def test_what_has_no_list_is_left_to_the_shell(line: str, offered: Any) -> None:
    """Shells complete files and directories where nothing is offered."""
    assert [offered(line, shell) for shell in SHELLS] == ["\n", "_files\n", "\n"]


def test_packaged_models(offered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their prefix is typed, unless a file has such a name: it is completed instead."""
    monkeypatch.chdir(tmp_path)
    line = "rnntext classify -m demo"
    assert offered(line).split() == ["demo:stories", "demo:reviews", "demo:tags"]
    assert offered("rnntext info demo:r", "fish").split() == ["demo:reviews"]
    assert offered("rnntext train lm --init demo:s", "fish").split() == ["demo:stories"]
    assert offered("rnntext train classify --distil demo:r", "fish").split() == ["demo:reviews"]
    assert offered("rnntext classify -m de").split() == []
    (tmp_path / "demonstration").mkdir()
    assert offered(line).split() == []


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("rnntext classify -m demo : r", ["reviews"]),
        ("rnntext classify -m demo :", ["stories", "reviews", "tags"]),
        ("rnntext classify -m demo:", ["demo:stories", "demo:reviews", "demo:tags"]),
        ("rnntext classify -m demo : reviews --record ", ["line", "file"]),
        ("rnntext train lm --preset = t", ["tiny"]),
        ("rnntext train lm --preset =", ["tiny", "small", "medium", "large"]),
        ("rnntext train lm --preset = tiny --cell g", ["gru"]),
        ("rnntext evaluate --min accuracy = 0.9 --max per", ["perplexity=", "perplexity_known="]),
    ],
)
def test_words_that_bash_parts(
    line: str, values: list[str], offered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bash parts words at colons and equals signs, and replaces the last part alone."""
    monkeypatch.chdir(tmp_path)
    assert offered(line).split() == values


def test_each_shell_has_its_form(offered: Any) -> None:
    line = "rnntext train lm --cell "
    assert [offered(line, shell) for shell in SHELLS] == [
        "rnn\ngru\nlstm\n",
        '_arguments \'*: :(("rnn"\n"gru"\n"lstm"))\'\n',
        "rnn\ngru\nlstm\n",
    ]
    assert offered("rnntext train t", "zsh") == (
        '_arguments \'*: :(("tag":"Train a tagger from tagged sentences."))\'\n'
    )
    assert offered("rnntext train t", "fish") == "tag\tTrain a tagger from tagged sentences.\n"


def test_the_help_of_an_option_is_one_line_of_fish(
    offered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line is a value: help that were wrapped would make values of its own."""
    monkeypatch.setenv("COLUMNS", "40")
    lines = offered("rnntext train lm --", "fish").splitlines()
    assert all(line.startswith("--") and "\t" in line for line in lines)
    assert any(len(line) > 80 for line in lines)


def test_a_metavar_in_capitals_lists_no_values() -> None:
    for metavar in (None, "N", "FILE.png|.svg", "N|WORD", "METRIC=VALUE"):
        assert of_metavar(metavar) is None
    complete = of_metavar("gru|lstm|linear")
    assert complete is not None
    assert (complete(""), complete("l"), complete("x")) == (
        ["gru", "lstm", "linear"], ["lstm", "linear"], [],
    )  # fmt: skip
    assert completion_of("output", "DIR") is None


def test_every_encoding_that_is_offered_can_be_read() -> None:
    complete = completion_of("encoding", "NAME")
    assert complete is not None
    names = complete("")
    assert {"utf-8", "latin-1", "cp1252", "gb18030", "shift-jis"} < {*names}
    for name in names:
        Decoding(name, "strict", 100)
    with pytest.raises(UsageError):
        Decoding("rot-13", "strict", 100)


def test_the_metrics_are_those_of_evaluate() -> None:
    known = (
        *LANGUAGE_MODEL_METRICS,
        *classification_metric_names(True),
        *tagging_metric_names(True),
    )
    assert tuple(dict.fromkeys(known)) == METRICS
