"""`rnntext inspect gates`: how far gates open."""

from __future__ import annotations

from rnntext.cli.inspection.common import Picture, ViewedTexts, show
from rnntext.cli.options import Model, OutputOptions, model_directory
from rnntext.cli.signature import expanded


@expanded
def command(
    *,
    model: Model = None,
    source: ViewedTexts,
    out: Picture = None,
    printing: OutputOptions,
) -> None:
    """Show how far the gates of a GRU or an LSTM open at each word.

    In a pipe: `text<TAB>layer<TAB>direction<TAB>step<TAB>token`, then the mean of each gate. With
    --json every unit too.
    """
    directory = model_directory(model)
    texts = source.read()
    from rnntext.inspection.gates import gates
    from rnntext.inspection.reading import InspectedModel

    show(lambda: gates(InspectedModel.load(directory), texts), out, printing.json)
