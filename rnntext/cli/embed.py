"""`rnntext embed`: a vector for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rnntext.cli import output
from rnntext.cli.answer_file import AnswerOptions, write_answers
from rnntext.cli.options import Model, RecordSource, model_directory
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option, path_option
from rnntext.errors import DataError, RnntextError, UsageError
from rnntext.files import make_directories, replaced_file, write_error

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.runtime.embed import Array
    from rnntext.text.records import Record

# TensorBoard reads a run's embeddings from the files that this one names.
PROJECTOR_CONFIG = 'embeddings { tensor_path: "vectors.tsv" metadata_path: "metadata.tsv" }\n'
_SHOWN_NUMBERS = 4  # of a vector, on a terminal


@expanded
def command(
    *,
    model: Model = None,
    pool: Annotated[
        str,
        choice_option(
            "--pool",
            metavar="mean|max|last",
            help="What of the hidden states over a text's tokens is the vector.",
        ),
    ] = "mean",
    tensorboard: Annotated[
        Path | None,
        path_option(
            "--tensorboard",
            metavar="DIR",
            help="Write the files of TensorBoard's projector into DIR, and print nothing.",
        ),
    ] = None,
    source: RecordSource,
    run: AnswerOptions,
) -> None:
    """Turn each record into a vector: the hidden states of the last layer, averaged over its
    tokens. In a pipe: numbers between tabs, a line for each record.

    Similar texts have vectors in similar directions: compare them by their cosine.
    """
    directory = model_directory(model)
    if tensorboard is not None and run.json:
        raise UsageError("--tensorboard writes files and prints nothing: leave --json out")
    run.check(source, directory, tensorboard=tensorboard is not None)
    rows = run.json or run.out is not None
    embedded = embed(directory, source, pool, run.threads, run.quiet, rows)
    if run.out is not None:
        from rnntext.runtime.answer_columns import vector_columns

        line = output.with_errors(_line(json=True), "", json=True)
        with_errors = source.on_error == "null"
        write_answers(run.out, embedded, vector_columns(), line, with_errors=with_errors)
        return
    if tensorboard is not None:
        write_projector_files(tensorboard, embedded)
        return
    for records, vectors in embedded:
        empty = output.tsv_line([""] * vectors.shape[1])
        line = output.with_errors(_line(run.json), empty, json=run.json)
        lines = (line(r, vector) for r, vector in zip(records, vectors, strict=True))
        for chunk in output.in_chunks(lines):
            output.write(chunk)


def embed(
    directory: Path,
    source: RecordSource,
    pool: str = "mean",
    threads: int | None = None,
    quiet: bool = False,
    rows: bool = True,
) -> Iterator[tuple[list[Record], Array]]:
    """Yield batches of records with their vectors, (records, D). `rows`: and with their fields."""
    batches = source.batches(directory, large=True, quiet=quiet, rows=rows)
    from rnntext.runtime.embed import Embedder

    embedder = Embedder.load(directory, threads, pool)
    for batch in batches:
        if batch:
            yield batch, embedder.embed([record.text for record in batch])


def write_projector_files(
    directory: Path, embedded: Iterable[tuple[Sequence[Record], Array]]
) -> None:
    """Write vectors and their texts for TensorBoard's projector, both as tab-separated lines
    without a header, and the file by which TensorBoard finds them. All take their places at the end
    or not at all."""
    made: list[Path] = []
    with ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            make_directories(directory, made)
        except OSError as error:
            raise RnntextError(write_error(directory, error, "--tensorboard")) from None
        names = ("projector_config.pbtxt", "metadata.tsv", "vectors.tsv")
        config, metadata, vectors = (
            stack.enter_context(replaced_file(directory / name, "--tensorboard")) for name in names
        )
        config(PROJECTOR_CONFIG.encode())
        wrote = False
        for records, found in embedded:
            wrote = True
            metadata("".join(map(_label, records)).encode())
            vectors("".join(map(_numbers, found)).encode())
        if not wrote:  # TensorBoard fails on files without a vector
            raise DataError("the input has no record: give at least one line")


def _label(record: Record) -> str:
    """The line of a text. The projector passes over blank lines, which would shift all labels."""
    label = output.tsv_line([record.text])
    return label if label.replace("\ufeff", " ").strip() else "(empty)\n"


def _remove_empty(made: Sequence[Path]) -> None:
    for folder in reversed(made):
        with suppress(OSError):  # it holds what was written
            folder.rmdir()


def _line(json: bool) -> Callable[[Record, Array], str]:
    if json:
        return lambda record, vector: output.answer_line(
            record, {"text": record.text, "vector": vector.tolist()}
        )
    if not output.on_terminal():
        return lambda record, vector: _numbers(vector)
    return output.terminal_formatter(_styled)


def _numbers(vector: Array) -> str:
    return "\t".join(["%.6f"] * len(vector)) % tuple(vector.tolist()) + "\n"


def _styled(record: Record, vector: Array, width: int) -> Text:
    """The first numbers of a vector, how many there are, and the text."""
    from rich.text import Text

    line = Text("".join(f"{number:7.3f}" for number in vector[:_SHOWN_NUMBERS].tolist()), "cyan")
    line.append(f" … {len(vector)} numbers  ", "dim")
    excerpt = Text(" ".join(record.text.split()))
    excerpt.truncate(max(10, width - line.cell_len), overflow="ellipsis")
    return line.append_text(excerpt)
