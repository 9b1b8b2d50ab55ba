"""Next words under a text while it is typed, on a terminal.

Knows: prompt_toolkit, its keys and how a line is drawn. Does not know: how words are predicted.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

_HELP = "Tab takes the first word, Enter begins a new line, Ctrl-D ends."


def type_and_predict(directory: Path, top_k: int, threads: int | None = None) -> None:
    """Read lines from the terminal until Ctrl-D, showing the likeliest next words of the text
    before the cursor: those that finish the word it stops in, else whole ones."""
    from rnntext.runtime.predict import Predictions, Predictor

    predictor = Predictor.load(directory, threads)

    @lru_cache(maxsize=256)
    def next_words(text: str) -> Predictions:
        inside = bool(text) and not text[-1].isspace()
        return predictor.predict([text], top_k=top_k, complete=inside)[0]

    def before_cursor() -> str:
        return get_app().current_buffer.document.text_before_cursor

    def shown() -> FormattedText:
        text = before_cursor()
        parts = [("", "  ")]
        for word in next_words(text).words:
            parts += [("class:word", word.word), ("class:number", f" {word.probability:.2f}   ")]
        return FormattedText(parts if text else [("class:number", f"  {_HELP}\n"), *parts])

    keys = KeyBindings()

    @keys.add("tab")
    def take(event: KeyPressEvent) -> None:
        text = before_cursor()
        words = next_words(text).words
        if words:
            typed = "" if not text or text[-1].isspace() else text.split()[-1]
            word = words[0].word
            rest = word[len(typed) :] if word.startswith(typed) else word
            event.current_buffer.insert_text(f"{rest} ")

    session: PromptSession[str] = PromptSession(
        "> ",
        bottom_toolbar=shown,
        key_bindings=keys,
        reserve_space_for_menu=0,
        style=Style.from_dict(
            {"bottom-toolbar": "noreverse", "word": "bold ansicyan", "number": "ansigreen"}
        ),
    )
    while True:
        try:
            session.prompt()
        except EOFError:
            return
