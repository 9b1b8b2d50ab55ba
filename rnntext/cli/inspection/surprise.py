"""`rnntext inspect surprise`: which words surprise a language model.

Knows: the options of the view. Does not know: how words are scored.
"""

from __future__ import annotations

from typing import Annotated

from rnntext.arguments import TOP_K
from rnntext.cli.inspection.common import Picture, ViewedTexts, show
from rnntext.cli.options import Model, OutputOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option


@expanded
def command(
    *,
    model: Model = None,
    source: ViewedTexts,
    top_k: Annotated[
        int,
        number_option(
            "-k", "--top-k", metavar="K", within=TOP_K, help="Name the K words expected most."
        ),
    ] = 3,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Show a text by the surprisal of its words, and what a language model expected instead.

    In a pipe: `text<TAB>position<TAB>word<TAB>bits`, then `word<TAB>probability` of each of the
    likeliest words at that place. <eos> is the end of the line.
    """
    directory = model_directory(model)
    texts = source.read()
    from rnntext.inspection.surprise import surprise
    from rnntext.runtime.language_model import LanguageModel

    show(
        lambda: surprise(
            LanguageModel.load(directory, samples=False), str(directory), texts, top_k
        ),
        out,
        printing.json,
    )
