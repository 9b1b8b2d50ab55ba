"""`rnntext inspect memory`: how long models remember.

Knows: the options, and how much of a corpus is read. Does not know: how memory is measured.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rnntext.arguments import DISTANCE, SEED
from rnntext.cli.inspection.common import Picture, no_text, show
from rnntext.cli.options import MODEL, Encoding, OutputOptions, RecordSource, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import model_option, number_option, path_argument
from rnntext.packaged import locate_model

_CORPUS_CHARACTERS = 1 << 19  # about 90,000 words, of which a few hundred places are sampled


@expanded
def command(
    *,
    models: Annotated[
        list[Path] | None,
        model_option(
            "-m",
            "--model",
            help="Directory or file of a model; repeatable, for several in one picture.",
            show_default="$RNNTEXT_MODEL",
            rich_help_panel=MODEL,
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        path_argument(
            "[INPUT]...",
            help="Files of text to measure on, the first 524,288 characters of it; - or no file is "
            "standard input.",
            show_default=False,
        ),
    ] = None,
    distance: Annotated[
        int | None,
        number_option(
            "--distance",
            metavar="N",
            within=DISTANCE,
            help="Look so many tokens back.",
            show_default="64, or less where the texts are short",
        ),
    ] = None,
    gradient: Annotated[
        bool,
        typer.Option("--gradient", help="Show how the gradient vanishes too. Needs PyTorch."),
    ] = False,
    seed: Annotated[
        int,
        number_option("--seed", metavar="N", within=SEED, help="Seed of the random numbers."),
    ] = 1,
    encoding: Encoding = "utf-8",
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Show how long a model remembers a token: the effect of changing it, by distance.

    In a pipe: `model<TAB>distance<TAB>state<TAB>prediction`, with --gradient and
    `<TAB>gradient`; the prediction, in bits, is empty for a model that predicts no next token.
    """
    named = os.environ.get("RNNTEXT_MODEL")
    directories = models or [model_directory(locate_model(named) if named else None)]
    if gradient:
        from rnntext.api import require_training

        require_training("--gradient")
    lines = _corpus(inputs, encoding)
    from rnntext.inspection.memory import MemoryOptions, memory
    from rnntext.inspection.reading import InspectedModel

    options = MemoryOptions(distance, gradient, seed)
    show(
        lambda: memory([InspectedModel.load(name) for name in directories], lines, options),
        out,
        printing.json,
    )


def _corpus(inputs: list[str] | None, encoding: str) -> list[str]:
    """The first lines, of _CORPUS_CHARACTERS together. Raises DataError if all are empty."""
    lines: list[str] = []
    room = _CORPUS_CHARACTERS
    for batch in RecordSource(inputs, encoding=encoding).batches():
        for record in batch:
            lines.append(record.text[:room])
            room -= len(lines[-1]) + 1
            if room <= 0:
                return lines
    if not any(map(str.strip, lines)):
        raise no_text()
    return lines
