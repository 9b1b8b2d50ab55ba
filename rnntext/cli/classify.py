"""`rnntext classify`: a label for each record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.arguments import PROBABILITY, TOP_K
from rnntext.cli import output
from rnntext.cli.options import Model, RecordSource, RunOptions, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.classifier import Classification
    from rnntext.text.records import Record


@expanded
def command(
    *,
    model: Model = None,
    top_k: Annotated[
        int | None,
        number_option("-k", "--top-k", metavar="K", within=TOP_K, help="Print K labels."),
    ] = None,
    threshold: Annotated[
        float | None,
        number_option(
            "--threshold",
            metavar="P",
            within=PROBABILITY,
            help="Omit labels with a probability lower than P.",
        ),
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Add the text as the last column.")
    ] = False,
    source: RecordSource,
    run: RunOptions,
) -> None:
    """Label each record. In a pipe: `label<TAB>probability` lines."""
    lines = classify(
        model_directory(model), source, top_k, threshold, with_text, run.json, run.threads
    )
    for line in lines:
        output.write(line)


def classify(
    directory: Path,
    source: RecordSource,
    top_k: int | None = None,
    threshold: float | None = None,
    with_text: bool = False,
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """Yield the output of the command, as much of a batch of records as is written at a time."""
    batches = source.batches(large=True)
    from rnntext.runtime.classifier import Classifier
    from rnntext.text.records import prefetch

    classifier = Classifier.load(directory, threads)
    # A multi-label model gives each label of at least 0.5, any other model the likeliest label.
    least = threshold if threshold is not None else 0.5 if classifier.multi_label else 0.0
    most = top_k or (len(classifier.labels) if classifier.multi_label else 1)

    def selected(answer: Classification) -> list[tuple[str, float]]:
        return [(la, p) for la, p in answer.labels.items() if p >= least]

    def as_json(record: Record, answer: Classification) -> str:
        given = answer.labels.items()
        labels = {label: p for label, p in given if threshold is None or p >= threshold}
        return output.json_line(
            {
                "text": record.text,
                "label": answer.label,
                "probability": answer.probability,
                "labels": labels,
            },
            record.row,
        )

    def as_tsv(record: Record, answer: Classification) -> str:
        pairs = selected(answer)
        fields = [f for label, p in pairs for f in (label, output.format_probability(p))]
        return output.tsv_line([*fields, record.text] if with_text else fields)

    def styled(record: Record, answer: Classification, width: int) -> Text:
        from rich.text import Text

        line = Text()
        for label, value in selected(answer):
            line.append(f"{label} ", "bold cyan").append(f"{value:.2f}  ", "green")
        excerpt = Text(" ".join(record.text.split()))
        excerpt.truncate(max(10, width - line.cell_len), overflow="ellipsis")
        return line.append_text(excerpt)

    if json:
        line = as_json
    else:
        line = output.terminal_formatter(styled) if output.on_terminal() else as_tsv
    ranked = partial(classifier.stream, top_k=top_k if json else most)
    for batch, answers in prefetch(batches, ranked):
        lines = (line(r, answer) for r, answer in zip(batch, answers, strict=True))
        yield from output.in_chunks(lines)
