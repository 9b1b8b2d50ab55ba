"""`rnntext classify`: a label for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import options, output
from rnntext.cli.options import Source
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.runtime.classify import Classification
    from rnntext.text.records import Record


def command(
    inputs: options.Inputs = None,
    model: options.Model = None,
    text: options.Texts = None,
    top_k: Annotated[
        int | None, typer.Option("-k", "--top-k", metavar="K", min=1, help="Give K labels.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="P", help="Leave out labels less probable than P."),
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Add the text as the last column.")
    ] = False,
    record: options.RecordKind = "line",
    text_column: options.TextColumn = None,
    encoding: options.Encoding = "utf-8",
    encoding_errors: options.EncodingErrors = "strict",
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Label each record. In a pipe: `label<TAB>probability` lines."""
    source = Source(inputs or [], text or [], record, text_column, encoding, encoding_errors)
    directory = options.model_directory(model)
    for answer in classify(directory, source, top_k, threshold, with_text, json, threads):
        output.write(answer)


def classify(
    directory: Path,
    source: Source,
    top_k: int | None = None,
    threshold: float | None = None,
    with_text: bool = False,
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """What the command prints, a batch of records at a time."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold must be from 0 to 1, not {threshold}")
    batches = source.batches(large=True)
    from rnntext.runtime.classify import Classifier
    from rnntext.text.records import prefetch

    classifier = Classifier.load(directory, threads)
    # With several labels a text has those that are likelier than not; else it has one.
    least = threshold if threshold is not None else 0.5 if classifier.multi_label else 0.0
    most = top_k or (len(classifier.labels) if classifier.multi_label else 1)

    def chosen(found: Classification) -> list[tuple[str, float]]:
        return [(la, p) for la, p in islice(found.labels.items(), most) if p >= least]

    def as_json(record: Record, found: Classification) -> str:
        kept = dict(list(found.labels.items())[: top_k or None])
        kept = {label: p for label, p in kept.items() if threshold is None or p >= threshold}
        return output.json_line(
            {
                "text": record.text,
                "label": found.label,
                "probability": found.probability,
                "labels": kept,
            },
            record.row,
        )

    def as_tsv(record: Record, found: Classification) -> str:
        fields = [f for la, p in chosen(found) for f in (la, output.probability(p))]
        return output.tsv_line([*fields, record.text] if with_text else fields)

    form = as_json if json else _coloured(chosen) if output.on_terminal() else as_tsv
    for batch, found in prefetch(batches, classifier.stream):
        yield "".join(form(r, answer) for r, answer in zip(batch, found, strict=True))


def _coloured(
    chosen: Callable[[Classification], list[tuple[str, float]]],
) -> Callable[[Record, Classification], str]:
    from rich.text import Text

    console = output.console()

    def line(record: Record, found: Classification) -> str:
        shown = Text()
        for label, value in chosen(found):
            shown.append(f"{label} ", "bold cyan").append(f"{value:.2f}  ", "green")
        excerpt = Text(" ".join(record.text.split()))
        excerpt.truncate(max(10, console.width - shown.cell_len), overflow="ellipsis")
        with console.capture() as capture:
            console.print(shown.append_text(excerpt))
        return capture.get()

    return line
