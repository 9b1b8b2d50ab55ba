"""Next words under a text while it is typed, on a terminal.

Knows: prompt_toolkit, its keys and how a line is drawn. Does not know: how words are predicted.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from prompt_toolkit import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.basic import load_basic_bindings
from prompt_toolkit.key_binding.bindings.emacs import load_emacs_bindings
from prompt_toolkit.key_binding.key_bindings import merge_key_bindings
from prompt_toolkit.layout import BufferControl, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.styles import Style

from rnntext.runtime.predict import Predictions, Predictor

_PROMPT = "> "
_HELP = "Tab takes the first word, Enter begins a new line, Ctrl-D ends."
_STYLE = Style.from_dict({"word": "bold ansicyan", "number": "ansigreen", "help": "ansigray"})


def type_and_predict(directory: Path, top_k: int, threads: int | None = None) -> None:
    """Read lines from the terminal until Ctrl-D, showing below each the likeliest next words of
    the text before the cursor: those that finish the word it stops in, else whole ones.

    Raises CheckpointError, and KeyboardInterrupt after Ctrl-C.
    """
    line = _Line(Predictor.load(directory, threads), top_k)
    while (text := line.application().run()) is not None:
        print(f"{_PROMPT}{text}")


class _Line:
    """The line being typed and what stands below it."""

    def __init__(self, predictor: Predictor, top_k: int) -> None:
        self._buffer = Buffer()

        @lru_cache(maxsize=256)
        def next_words(text: str) -> Predictions:
            inside = bool(text) and not text[-1].isspace()
            return predictor.predict([text], top_k=top_k, complete=inside)[0]

        self._next_words = next_words

    def application(self) -> Application[str | None]:
        """A fresh line: running it gives the text, or None for the end."""
        self._buffer.reset()
        typed = BufferControl(self._buffer, input_processors=[BeforeInput(_PROMPT)])
        below = FormattedTextControl(self._shown)
        rows = [
            Window(typed, wrap_lines=True, dont_extend_height=True),
            Window(below, dont_extend_height=True, wrap_lines=True),
            Window(),  # takes the rest of the screen, so that the words stay below the text
        ]
        keys = merge_key_bindings([load_basic_bindings(), load_emacs_bindings(), self._keys()])
        return Application(
            Layout(HSplit(rows)), key_bindings=keys, style=_STYLE, erase_when_done=True
        )

    def _shown(self) -> StyleAndTextTuples:
        text = self._before_cursor()
        parts: StyleAndTextTuples = [("", " " * len(_PROMPT))]
        for word in self._next_words(text).words:
            parts += [("class:word", word.word), ("class:number", f" {word.probability:.2f}   ")]
        return parts if text else [*parts, ("class:help", f"\n{_HELP}")]

    def _before_cursor(self) -> str:
        return self._buffer.document.text_before_cursor

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("tab")
        def take(event: KeyPressEvent) -> None:
            text = self._before_cursor()
            found = self._next_words(text).words
            if found:
                # The beginning is written anew, in the word's own case.
                word = found[0].word
                size = max((n for n in range(len(word) + 1) if text.endswith(word[:n])), default=0)
                self._buffer.insert_text(f"{word[size:]} ")

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
