"""`rnntext inspect explain`: which words decided an answer.

Knows: the options of the view. Does not know: how shares are computed, or how a page is drawn.
"""

from __future__ import annotations

from typing import Annotated

import typer

from rnntext.api import require_training
from rnntext.cli.inspection.common import Picture, ViewedTexts, show
from rnntext.cli.options import Model, OutputOptions, model_directory
from rnntext.cli.signature import expanded


@expanded
def command(
    *,
    model: Model = None,
    source: ViewedTexts,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="LABEL",
            help="Explain this label or tag.",
            show_default="the model's answer",
        ),
    ] = None,
    word: Annotated[
        str | None,
        typer.Option(
            "--word",
            metavar="N|WORD",
            help="Of a tagger: explain the tag of the N-th word, or of WORD.",
            show_default="all words",
        ),
    ] = None,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Show which words decided a label or a tag, and how much the network and the linear half give
    each. Needs PyTorch.

    In a pipe: `text<TAB>label<TAB>word<TAB>network<TAB>linear<TAB>total`; of a tagger the number of
    the tagged word, and the word, come after `text`.
    """
    directory = model_directory(model)
    texts = source.read()
    require_training("an explanation")
    from rnntext.inspection.explain import explain
    from rnntext.inspection.reading import InspectedModel

    show(lambda: explain(InspectedModel.load(directory), texts, label, word), out, printing.json)
