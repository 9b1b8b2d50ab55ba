"""`rnntext classify`: a label for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.arguments import PROBABILITY, TOP_K
from rnntext.cli import explanations, output
from rnntext.cli.answer_file import AnswerOptions, write_answers
from rnntext.cli.options import Model, RecordSource, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import number_option
from rnntext.text.controls import one_line

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.inspection.explanation import Explanation
    from rnntext.runtime.classifier import Classification, Classifier
    from rnntext.text.records import Record


@expanded
def command(
    *,
    model: Model = None,
    top_k: Annotated[
        int | None,
        number_option(
            "-k",
            "--top-k",
            metavar="K",
            within=TOP_K,
            help="Print K labels.",
            show_default="1, of several labels a text all",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        number_option(
            "--threshold",
            metavar="P",
            within=PROBABILITY,
            help="Leave out labels with a probability lower than P; their columns stay, empty.",
            show_default="0, of several labels a text 0.5",
        ),
    ] = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Add the text as the last column.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show which words decided for the label. Needs PyTorch."),
    ] = False,
    source: RecordSource,
    run: AnswerOptions,
) -> None:
    """Label each record. In a pipe: `label<TAB>probability` lines, with --explain the strongest
    words and their shares in the label's log-odds after the labels.

    With -k K there are K pairs, of a model of several labels a text without it as many as the model
    has labels: all lines have the same columns, empty ones where no label passes.
    """
    directory = model_directory(model)
    run.check(source, directory, with_text=with_text)
    lines = classify(
        directory,
        source,
        top_k,
        threshold,
        with_text,
        run.json,
        run.threads,
        run.quiet,
        explain,
        run.out,
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
    quiet: bool = False,
    explain: bool = False,
    out: Path | None = None,
) -> Iterator[str]:
    """Yield the output of the command, as much of a batch of records as is written at a time; with
    `out` write it there."""
    rows = json or out is not None
    batches = source.batches(directory, large=True, quiet=quiet, rows=rows)
    from rnntext.runtime.answer_columns import LabelPairs
    from rnntext.text.records import prefetch, text_of

    classifier, explained = (
        _explaining(directory, threads) if explain else _plain(directory, threads)
    )
    pairs = LabelPairs(classifier.labels, classifier.multi_label, top_k, threshold)
    most = pairs.most

    def as_json(record: Record, answer: Classification) -> str:
        given = answer.labels.items()
        labels = {label: p for label, p in given if threshold is None or p >= threshold}
        value: dict[str, Any] = {
            "text": record.text,
            "label": answer.label if threshold is None or labels else None,
            "probability": answer.probability,
            "labels": labels,
        }
        if explained is not None:
            found = explained(answer)
            value["explanation"] = None if found is None else found.as_objects()
        return output.answer_line(record, value)

    def as_tsv(record: Record, answer: Classification) -> str:
        fields = [f for label, p in pairs.of(answer) for f in (label, output.format_probability(p))]
        fields += [""] * (2 * most - len(fields))  # every line has the same columns
        if explained is not None:
            fields.append(explanations.column(explained(answer)))
        return output.tsv_line([*fields, record.text] if with_text else fields)

    def styled(record: Record, answer: Classification, width: int) -> Text:
        from rich.text import Text

        line = Text()
        for label, value in pairs.of(answer):
            line.append(f"{label} ", "bold cyan").append(f"{value:.2f}  ", "green")
        if explained is not None:  # in full: the words that decided may stand anywhere
            return line.append_text(explanations.coloured(record.text, explained(answer)))
        excerpt = Text(one_line(record.text))
        excerpt.truncate(max(10, width - line.cell_len), overflow="ellipsis")
        return line.append_text(excerpt)

    line: Callable[[Record, Any], str]
    if rows:
        line = as_json
    else:
        line = output.terminal_formatter(styled) if output.on_terminal() else as_tsv
    width = 2 * most + explain + with_text
    line = output.with_errors(line, output.tsv_line([""] * width), json=rows)
    ranked = partial(classifier.stream, top_k=top_k if rows else most)
    answered = prefetch(batches, ranked, text_of)
    if out is not None:
        columns = pairs.columns()
        if explained is not None:
            columns = columns.with_text("explanation", lambda a: explanations.column(explained(a)))
        write_answers(out, answered, columns, line, with_errors=source.on_error == "null")
        return
    for batch, answers in answered:
        lines = (line(r, answer) for r, answer in zip(batch, answers, strict=True))
        yield from output.in_chunks(lines)


Explained = Callable[["Classification"], "Explanation | None"]


def _plain(directory: Path, threads: int | None) -> tuple[Classifier, None]:
    from rnntext.runtime.classifier import Classifier

    return Classifier.load(directory, threads), None


def _explaining(directory: Path, threads: int | None) -> tuple[Classifier, Explained]:
    """Return a classifier, and a function that explains its answers: None for a text that is too
    long."""
    from rnntext.api import require_training

    require_training("--explain")
    from rnntext.inspection.explanation import TextExplainer
    from rnntext.inspection.reading import InspectedModel
    from rnntext.runtime.model import open_model

    model = open_model(directory, "classify", threads, weights=True)
    explainer = TextExplainer(InspectedModel(model, str(directory)))

    def explained(answer: Classification) -> Explanation | None:
        reading = explainer.read(answer.text)
        return None if reading is None else explainer.explain(reading, answer.label)

    return explainer.classifier, explained
