"""Predictions while a user types: the keys, and what is shown below the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.formatted_text import to_plain_text
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

import rnntext.cli.interactive as module
from rnntext.cli.interactive import _LineEditor, predict_while_typing
from rnntext.runtime.predict import Predictions, WordPrediction

TAB, ENTER, CTRL_C, CTRL_D, LEFT = "\t", "\r", "\x03", "\x04", "\x1b[D"


class Model:
    """Always predicts the same words, and notes what it was asked."""

    def __init__(self, *words: str | WordPrediction) -> None:
        self.words = [
            WordPrediction(word, 0.5 / (n + 1)) if isinstance(word, str) else word
            for n, word in enumerate(words)
        ]
        self.asked: list[tuple[str, int, bool]] = []
        self.loaded: list[tuple[Path, int | None]] = []

    def load(self, directory: Path, threads: int | None) -> Model:
        self.loaded.append((directory, threads))
        return self

    def predict(self, texts: Sequence[str], *, top_k: int, complete: bool) -> list[Predictions]:
        (text,) = texts
        self.asked.append((text, top_k, complete))
        return [Predictions(text, self.words, 0.0)]


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


def typed(keyboard: PipeInput, keys: str, *words: str) -> str | None:
    """The line that results from these keys, if the model predicts these words."""
    keyboard.send_text(keys + CTRL_C)  # if the keys do not end the line, this does
    return _LineEditor(Model(*words), 3).application().run()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("the her" + TAB, "the heron "),
        ("the " + TAB, "the heron "),
        (TAB, "heron "),
        ("the heron" + TAB, "the heron "),
        ("he" + TAB + TAB, "heron heron "),
        ("the x" + TAB, "the xheron "),
        ("ths" + LEFT + TAB, "theron s"),  # what stands before the cursor counts
        ("the heh" + TAB, "the heheron "),  # the longest beginning of the word counts
        ("the h" + CTRL_D + "e", "the he"),  # only an empty line ends
        ("", ""),
    ],
)
def test_tab_takes_the_first_word(keys: str, line: str, keyboard: PipeInput) -> None:
    assert typed(keyboard, keys + ENTER, "heron", "heather") == line


@pytest.mark.parametrize(
    ("keys", "word", "line"),
    [("主" + TAB + "は", "人", "主人は"), ("主人" + TAB, "人人", "主人人人")],
)
def test_tab_takes_a_unit_as_it_is_where_no_spaces_are(
    keys: str, word: str, line: str, keyboard: PipeInput
) -> None:
    assert typed(keyboard, keys + ENTER, word) == line


def test_tab_without_a_prediction_does_nothing(keyboard: PipeInput) -> None:
    assert typed(keyboard, "xyz" + TAB + ENTER) == "xyz"


def test_ctrl_d_on_an_empty_line_ends(keyboard: PipeInput) -> None:
    assert typed(keyboard, CTRL_D, "heron") is None


def test_ctrl_c_interrupts(keyboard: PipeInput) -> None:
    with pytest.raises(KeyboardInterrupt):
        typed(keyboard, "the", "heron")


@pytest.mark.parametrize(
    ("text", "complete"), [("", False), ("the", True), ("the ", False), ("the.", True)]
)
def test_a_word_that_is_begun_is_completed(text: str, complete: bool) -> None:
    model = Model("heron", "heather")
    editor = _LineEditor(model, 3)  # type: ignore[arg-type]
    editor._buffer.insert_text(text)
    shown = to_plain_text(editor._formatted_predictions())
    words = "  heron 0.50   heather 0.25"
    assert shown.splitlines()[0] == words
    assert ("Ctrl-D ends" in shown) == (text == "")
    assert model.asked == [(text, 3, complete)]
    # The screen is drawn at every key; the model is asked once.
    editor._formatted_predictions()
    assert len(model.asked) == 1


def test_signs_and_what_would_be_shown_as_zero_are_not_offered(keyboard: PipeInput) -> None:
    words = [
        WordPrediction(",", 0.9),
        WordPrediction("heron", 0.005),
        WordPrediction("你好", 0.0051),
        WordPrediction("heronx", 0.00499),
    ]
    editor = _LineEditor(Model(*words), 4)  # type: ignore[arg-type]
    editor._buffer.insert_text("the ")
    assert to_plain_text(editor._formatted_predictions()) == "  heron 0.01   你好 0.01"
    keyboard.send_text("the " + TAB + ENTER)
    assert editor.application().run() == "the heron "


def test_bytes_that_the_terminal_does_not_know_are_read_as_utf8() -> None:
    model = Model("heron")
    editor = _LineEditor(model, 3)  # type: ignore[arg-type]
    typed = "naïve".encode().decode("ascii", "surrogateescape")
    editor.keep(typed)
    editor._buffer.insert_text(typed[:3])  # half of a character
    editor._formatted_predictions()
    assert model.asked == [("naïve\nna\ufffd", 3, True)]


def test_words_are_not_broken(keyboard: PipeInput) -> None:
    words = [f"word{n}" + "x" * 9 for n in range(6)]  # a terminal of the tests has 80 columns
    editor = _LineEditor(Model(*words), 6)  # type: ignore[arg-type]
    editor._buffer.insert_text("the ")
    shown = to_plain_text(editor._formatted_predictions()).splitlines()
    assert [line.count("word") for line in shown] == [3, 3]
    assert all(line.startswith("  word") and len(line) <= 80 for line in shown)


def test_the_model_goes_on_from_the_lines_before() -> None:
    model = Model("heron")
    editor = _LineEditor(model, 3)  # type: ignore[arg-type]
    editor.keep("The old lamp.")
    editor.keep("")
    editor._buffer.insert_text("a ")
    editor._formatted_predictions()
    assert model.asked == [("The old lamp.\n\na ", 3, False)]
    editor.keep("x" * 1000)  # only so much is read at each key
    editor._formatted_predictions()
    assert model.asked[1:] == [("x" * 1000 + "\na ", 3, False)]


def test_lines_until_the_end(
    keyboard: PipeInput, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Model("heron")
    monkeypatch.setattr(module, "Predictor", model)
    keyboard.send_text("the" + ENTER + "a " + TAB + ENTER + CTRL_D + CTRL_C)
    predict_while_typing(Path("dir"), 4, 2)
    assert capfd.readouterr().out == "> the\n> a heron \n"
    assert model.loaded == [(Path("dir"), 2)]
    assert {top_k for _, top_k, _ in model.asked} == {4}
