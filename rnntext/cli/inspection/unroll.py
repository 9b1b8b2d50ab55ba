"""`rnntext inspect unroll`: the network at each step, as a diagram."""

from __future__ import annotations

from typing import Annotated

import typer

from rnntext.arguments import WIDTH
from rnntext.cli.inspection.common import Picture, ViewedTexts, show
from rnntext.cli.options import Model, OutputOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option
from rnntext.errors import UsageError


@expanded
def command(
    *,
    model: Model = None,
    source: ViewedTexts,
    units: Annotated[
        int, number_option("--units", metavar="N", within=WIDTH, help="Show N values of a vector.")
    ] = 8,
    backward: Annotated[
        bool,
        typer.Option("--backward", help="Show the gradients that flow back too (PyTorch)."),
    ] = False,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Draw the network unrolled over a text of a few words, with its real values.

    In a pipe: `step<TAB>token<TAB>answer`, then the norm of each layer's state.
    """
    directory = model_directory(model)
    texts = source.read()
    if len(texts) > 1:
        raise UsageError("a diagram shows one text: give one")
    from rnntext.inspection.reading import InspectedModel
    from rnntext.inspection.unroll import unroll

    show(
        lambda: unroll(InspectedModel.load(directory), texts[0], units, backward=backward),
        out,
        printing.json,
    )
