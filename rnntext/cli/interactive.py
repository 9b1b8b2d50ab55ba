"""Predictions of the next word on a terminal, while the user types.

Knows: prompt_toolkit, its keys and how a line is drawn. Does not know: how words are predicted.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from prompt_toolkit import Application
from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.basic import load_basic_bindings
from prompt_toolkit.key_binding.bindings.emacs import load_emacs_bindings
from prompt_toolkit.key_binding.key_bindings import merge_key_bindings
from prompt_toolkit.layout import BufferControl, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.styles import Style

from rnntext.cli import output
from rnntext.runtime.predict import Predictor, WordPrediction
from rnntext.text.columns import columns_of
from rnntext.text.controls import ONE_LINE
from rnntext.text.scripts import is_unspaced

_PROMPT = "> "
_INDENT, _GAP = " " * len(_PROMPT), " " * 3  # of the words below the line
_LEAST_SHOWN = 0.005  # a smaller probability would be shown as 0.00
_CONTEXT = 1000  # characters of the lines before, which the model reads again at each key
_HELP = "Tab takes the first word, Enter begins a line, Ctrl-D ends."
_STYLE = Style.from_dict({"word": "bold ansicyan", "number": "ansigreen", "help": "ansigray"})


def predict_while_typing(directory: Path, top_k: int, threads: int | None) -> None:
    """Read lines from the terminal until Ctrl-D. Below each line, show the likeliest completions
    of the word before the cursor, or the likeliest next words after a space. The lines before stay
    above it, and the model goes on from them.

    Raises CheckpointError, and KeyboardInterrupt after Ctrl-C.
    """
    editor = _LineEditor(Predictor.load(directory, threads), top_k)
    while (text := editor.application().run()) is not None:
        output.write(f"{_PROMPT}{text.translate(ONE_LINE)}\n")
        editor.keep(text)


class _LineEditor:
    """The line that the user edits, with the predictions below it."""

    def __init__(self, predictor: Predictor, top_k: int) -> None:
        self._buffer = Buffer()
        self._before: list[str] = []  # the lines before, as many as the model reads

        @lru_cache(maxsize=256)
        def next_words(text: str) -> list[WordPrediction]:
            inside = bool(text) and not text[-1].isspace()
            found = predictor.predict([text], top_k=top_k, complete=inside)[0].words
            return [word for word in found if _is_offered(word)]

        self._next_words = next_words

    def keep(self, text: str) -> None:
        """Make a finished line one of those that the model goes on from."""
        self._before.append(_decoded(text))
        while len("\n".join(self._before)) > _CONTEXT:
            del self._before[0]

    def application(self) -> Application[str | None]:
        """An empty line. Running the application returns the text, or None after Ctrl-D."""
        self._buffer.reset()
        text = BufferControl(self._buffer, input_processors=[BeforeInput(_PROMPT)])
        predictions = FormattedTextControl(self._formatted_predictions)
        rows = [
            Window(text, wrap_lines=True, dont_extend_height=True),
            Window(predictions, dont_extend_height=True, wrap_lines=True),
            Window(),  # fills the screen, so that the predictions stay directly below the text
        ]
        keys = merge_key_bindings([load_basic_bindings(), load_emacs_bindings(), self._keys()])
        return Application(
            Layout(HSplit(rows)), key_bindings=keys, style=_STYLE, erase_when_done=True
        )

    def _formatted_predictions(self) -> StyleAndTextTuples:
        text = self._before_cursor()
        parts: StyleAndTextTuples = [("", _INDENT)]
        columns, used = get_app().output.get_size().columns, len(_INDENT)
        for word in self._offers():
            number = f" {word.probability:.2f}"
            size = columns_of(word.word) + len(number)
            gap = _GAP if used > len(_INDENT) else ""
            if used + len(gap) + size > columns:
                gap, used = f"\n{_INDENT}", 0
            parts += [("", gap), ("class:word", word.word), ("class:number", number)]
            used += len(gap.lstrip("\n")) + size
        return parts if text else [*parts, ("class:help", f"\n{_HELP}")]

    def _before_cursor(self) -> str:
        return self._buffer.document.text_before_cursor

    def _offers(self) -> list[WordPrediction]:
        return self._next_words("\n".join([*self._before, _decoded(self._before_cursor())]))

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("tab")
        def accept(event: KeyPressEvent) -> None:
            text = self._before_cursor()
            words = self._offers()
            if words:
                word = words[0].word
                if is_unspaced(word[0]):  # a unit that comes next as it is
                    self._buffer.insert_text(word)
                    return
                typed = max(n for n in range(len(word) + 1) if text.endswith(word[:n]))
                self._buffer.insert_text(f"{word[typed:]} ")

        @keys.add("enter")
        def finish(event: KeyPressEvent) -> None:
            event.app.exit(result=self._buffer.text)

        @keys.add("c-d")
        def end(event: KeyPressEvent) -> None:
            if not self._buffer.text:
                event.app.exit(result=None)

        @keys.add("c-c")
        def interrupt(event: KeyPressEvent) -> None:
            event.app.exit(exception=KeyboardInterrupt)

        return keys


def _decoded(text: str) -> str:
    """What was typed, with the bytes that the terminal's encoding lacks read as UTF-8. Half
    a character, which comes byte by byte, is no error."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_offered(prediction: WordPrediction) -> bool:
    """Return True for a word, which a sign by itself is not, unless it is very improbable."""
    return prediction.probability >= _LEAST_SHOWN and any(map(str.isalnum, prediction.word))
