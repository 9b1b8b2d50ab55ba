"""Labels and other names of a stranger with escape sequences, tabs and line feeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.cli.info import describe
from rnntext.errors import CheckpointError, printable
from tests.hostile.directories import change_config, write_model
from tests.hostile.running import command, opened, refused

FORGED = "\x1b[2J\x1b]0;owned\x07\u202e\r\n\tyes\t1.0\nrow"


def test_labels_may_be_any_text_and_an_error_shows_none_of_it(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "classify", labels=(FORGED, "yes", "maybe"))
    assert opened(model) is None
    assert describe(model)["labels"][0] == FORGED
    change_config(model, lambda config: config["model"].update(cell=FORGED))
    assert "model.onnx" not in refused(model)


@pytest.mark.parametrize("section", ["model", "tokenizer"])
def test_a_field_s_name_is_shown_without_its_control_characters(
    section: str, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", "tag")
    change_config(model, lambda config: config[section].update({FORGED: 1}))
    assert "is unknown" in refused(model)


def test_a_value_s_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "tag")
    change_config(model, lambda config: config["model"].update(task=FORGED))
    change_config(model, lambda config: config["files"].update({FORGED: {}}))
    found = command(model, "info").failed(1, "config.json")
    assert found.err[:-1].isprintable()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain, naïve 日本 🙂", "plain, naïve 日本 🙂"),
        ("two\r\nlines\n", "two lines"),
        ("a\tb\x1b[0m\x7f", "a\\tb\\x1b[0m\\x7f"),
        ("\u202eabc\ud800", "\\u202eabc\\ud800"),
    ],
)
def test_an_error_is_one_line_that_does_nothing(text: str, line: str) -> None:
    assert printable(text) == str(CheckpointError(text)) == line
