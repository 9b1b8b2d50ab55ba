"""Answers to batches of Arrow: a function that engines for large data can send to their workers.

Knows: which column of a batch is answered, how answers become columns, and that a process opens a
model once. Does not know: files, engines, or how a model answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rnntext.config import ModelConfig
from rnntext.errors import DataError, UsageError
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.task import runtime_task
from rnntext.tasks import TASKS
from rnntext.text.beside import Kind, names_beside
from rnntext.text.parquet_rows import require_pyarrow, rows_at, rows_of_batch
from rnntext.text.parquet_writer import arrow_type
from rnntext.text.records import InputOptions, Record, record_of_row, words_or_text
from rnntext.text.tables import missing_column

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Schema, Table

Batch = TypeVar("Batch", "RecordBatch", "Table")

# Rows that are answered together.
_ROWS = 4096
_NAME = "the batch"  # in messages


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a process finds a model, and that it is the same one."""

    directory: Path
    threads: int | None
    fingerprint: str


_lock = threading.Lock()
_models: dict[ModelSource, TrainedModel] = {}


def check_options(config: ModelConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not None. Raises UsageError for one that the model's task has
    not."""
    options = {name: value for name, value in given.items() if value is not None}
    known = runtime_task(config).answer_options
    for name in options:
        if name not in known:
            task = TASKS[config.task].title
            raise UsageError(f"{name} says nothing to a {task}: it takes {', '.join(known)}")
    return options


class BatchAnswers:
    """Returns a batch of Arrow (`RecordBatch` or `Table`) with the columns of the answers.

    Its pickle is small: it has the path of the model, which must be there where it is called, and a
    process opens the model at the first call, once for all that were pickled with it. The answers
    are those of the commands, in the columns that `-o FILE.parquet` writes.
    """

    def __init__(
        self,
        source: ModelSource,
        model: TrainedModel,
        open_again: Callable[[ModelSource], TrainedModel],
        options: Mapping[str, Any],
        column: str | None,
        on_error: str,
    ) -> None:
        """`column`: of the texts; None is `text`, of a tagger `words` if there are such."""
        require_pyarrow("batches")
        self._source, self._open_again, self._options = source, open_again, options
        self._column = column
        has_words = TASKS[model.config.task].text_column is None
        self._reading = InputOptions(on_error=on_error, lists=has_words)
        self._model: TrainedModel | None = model

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_source", "_open_again", "_options", "_column", "_reading")
        return {**{name: getattr(self, name) for name in kept}, "_model": None}

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with its answers. Raises DataError for a row without a text, unless
        `on_error` lets it pass, and CheckpointError."""
        import pyarrow

        is_table = isinstance(batch, pyarrow.Table)
        table = batch if is_table else pyarrow.Table.from_batches([batch])
        parts = [self._answered(part) for part in table.to_batches(max_chunksize=_ROWS)]
        answered = pyarrow.Table.from_batches(parts, self.schema(batch.schema))
        if is_table:
            return answered
        if not len(answered):
            columns = [pyarrow.array([], kind) for kind in answered.schema.types]
            return pyarrow.RecordBatch.from_arrays(columns, schema=answered.schema)
        (whole,) = answered.combine_chunks().to_batches()
        return whole

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of an answered batch, given that of a batch."""
        import pyarrow

        kinds = self._kinds
        names = names_beside(schema.names, kinds)
        answers = [
            pyarrow.field(name, arrow_type(kind))
            for name, kind in zip(names, kinds.values(), strict=True)
        ]
        return pyarrow.schema([*schema, *answers], metadata=schema.metadata)

    @property
    def _kinds(self) -> dict[str, Kind]:
        columns, _ = self._answering
        with_errors = self._reading.on_error == "null"
        return {**columns.kinds, **({"error": str} if with_errors else {})}

    @cached_property
    def _answering(self) -> Any:
        if self._model is None:
            with _lock:
                if self._source not in _models:
                    _models[self._source] = self._open_again(self._source)
                self._model = _models[self._source]
        return runtime_task(self._model.config).answering(self._model, **self._options)

    def _answered(self, batch: RecordBatch) -> RecordBatch:
        import pyarrow

        columns, answer = self._answering
        records = self._records(batch)
        read = [place for place, record in enumerate(records) if record.error is None]
        found = answer([words_or_text(records[place]) for place in read])
        values: list[Sequence[object]] = [[None] * len(columns.kinds)] * len(records)
        for place, one in zip(read, found, strict=True):
            values[place] = columns.values(one)
        if self._reading.on_error == "null":
            values = [[*row, r.error] for row, r in zip(values, records, strict=True)]
        if self._reading.on_error == "skip":
            batch, values = rows_at(batch, read), [values[place] for place in read]
        schema = self.schema(batch.schema)
        kinds = schema.types[len(batch.columns) :]
        by_column = zip(*values, strict=True) if values else [()] * len(kinds)
        answers = [pyarrow.array(v, kind) for v, kind in zip(by_column, kinds, strict=True)]
        return pyarrow.RecordBatch.from_arrays([*batch.columns, *answers], schema=schema)

    def _records(self, batch: RecordBatch) -> list[Record]:
        names = batch.schema.names
        lists = self._reading.lists and "words" in names
        column = self._column or ("words" if lists else "text")
        if column not in names:
            raise missing_column(_NAME, column, "text_column", names)
        records = []
        last = max(place for place, name in enumerate(names) if name == column)
        for row in rows_of_batch(batch.select([last]), _NAME):
            if row.error is not None and not self._reading.keeps_bad:
                raise DataError(row.error)
            records.append(record_of_row(row, 0, _NAME, column, self._reading))
        return records
