"""Writes rows and the answers beside them to a Parquet file, as they come.

Knows: pyarrow, and how the types of columns become known row by row. Does not know: what an answer
means, or how a file takes the place of another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext.errors import DataError
from rnntext.text.beside import Kind, names_beside
from rnntext.text.parquet_rows import ArrowRow, one_line, rows_at
from rnntext.text.source import for_message

if TYPE_CHECKING:
    from pyarrow import Array, Schema, Table
    from pyarrow.parquet import ParquetWriter

OwnRow = Mapping[str, object] | None  # None: its columns are not known

# Rows are written as a group when they are so many, or so many bytes.
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 64 << 20


@contextmanager
def parquet_rows(path: Path, kinds: Mapping[str, Kind]) -> Iterator[ParquetRows]:
    """Write a Parquet file of the rows that are added within the `with` block."""
    rows = ParquetRows(path, kinds)
    try:
        yield rows
        rows.finish()
    finally:
        rows.close()


class ParquetRows:
    """A Parquet file of rows, each with its own columns and then those of its answer.

    Rows that were read from Parquet keep the types of their columns. Those of other rows follow
    from the values. Later rows may have other columns, and values that have a type in common with
    those before them (with a fraction after whole numbers, say): the file is then written anew.
    """

    def __init__(self, path: Path, kinds: Mapping[str, Kind]) -> None:
        """`kinds`: what each column of the answers holds. Raises OSError."""
        path.touch()  # rather now than when all has been answered
        self._path = path
        self._before = path.with_name(path.name + ".before")  # the file that is written anew
        self._kinds = {name: arrow_type(kind) for name, kind in kinds.items()}
        self._own: Schema | None = None  # of all rows so far
        self._writer: ParquetWriter | None = None
        # The own columns of some rows, and the columns of their answers.
        self._waiting: list[tuple[dict[str, Array], list[Array]]] = []
        self._added = 0

    def add(self, rows: Sequence[OwnRow], answers: Sequence[Sequence[object]]) -> None:
        """Add rows with the values of their answers. Raises DataError for values of one column that
        have no type in common, and OSError."""
        import pyarrow

        for _, group in groupby(
            zip(rows, answers, strict=True), lambda pair: id(getattr(pair[0], "batch", None))
        ):
            some = list(group)
            own = self._own_columns([row for row, _ in some])
            values = zip(*(answer for _, answer in some), strict=True)
            kinds = self._kinds.values()
            columns = [pyarrow.array(v, kind) for v, kind in zip(values, kinds, strict=True)]
            self._waiting.append((own, columns))
            self._added += len(some)
        size = sum(
            column.nbytes for own, others in self._waiting for column in (*own.values(), *others)
        )
        if size >= _GROUP_BYTES or sum(len(c[0]) for _, c in self._waiting) >= _GROUP_ROWS:
            self._write_group()

    def finish(self) -> None:
        """Write what has not been written. A file without rows has the columns of the answers."""
        self._write_group()

    def close(self) -> None:
        """Close the file, whatever became of it."""
        if self._writer is not None:
            self._writer.close()
        self._before.unlink(missing_ok=True)

    def _own_columns(self, rows: Sequence[OwnRow]) -> dict[str, Array]:
        """Return the own columns of some rows, and take their types into account."""
        import pyarrow

        if isinstance(rows[0], ArrowRow):
            places = [row.index for row in rows]  # type: ignore[union-attr]
            batch = rows_at(rows[0].batch.arrow, places)
            schema, columns = batch.schema, batch.columns
        else:
            names = dict.fromkeys(name for row in rows for name in row or ())
            columns = [self._column(n, [(row or {}).get(n) for row in rows]) for n in names]
            types = [column.type for column in columns]
            schema = pyarrow.schema(list(zip(names, types, strict=True)))
        try:
            known = schema if self._own is None else self._own
            self._own = pyarrow.unify_schemas([known, schema], promote_options="permissive")
        except (pyarrow.ArrowException, ValueError) as error:
            raise self._no_type(one_line(error)) from None
        return dict(zip(schema.names, columns, strict=True))

    def _column(self, name: str, values: Sequence[object]) -> Array:
        import pyarrow

        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowException, OverflowError, ValueError) as error:
            raise self._no_type(f"{for_message(name)!r}: {one_line(error)}") from None

    def _no_type(self, reason: str) -> DataError:
        return DataError(
            "a column of Parquet has values of one type, which the records from number "
            f"{self._added + 1:,} on do not have ({reason}): name a .jsonl file with -o"
        )

    def _write_group(self) -> None:
        import pyarrow

        try:
            self._write()
        except pyarrow.ArrowException as error:
            raise DataError(
                f"Parquet cannot hold these rows ({one_line(error)}): name a .jsonl file with -o"
            ) from None

    def _write(self) -> None:
        import pyarrow
        from pyarrow.parquet import ParquetFile, ParquetWriter

        known = pyarrow.schema([]) if self._own is None else self._own
        names = names_beside(known.names, self._kinds)
        answers = pyarrow.schema(list(zip(names, self._kinds.values(), strict=True)))
        schema = pyarrow.schema([*known, *answers], metadata=known.metadata)
        if self._writer is None:
            self._writer = ParquetWriter(str(self._path), schema)
        elif self._writer.schema != schema:
            self._writer.close()
            os.replace(self._path, self._before)
            self._writer = ParquetWriter(str(self._path), schema)
            with ParquetFile(self._before) as file:
                for batch in file.iter_batches(_GROUP_ROWS):
                    own = len(batch.columns) - len(names)
                    columns = dict(zip(batch.schema.names[:own], batch.columns, strict=False))
                    self._writer.write_table(self._table(columns, batch.columns[own:], schema))
        if self._waiting:
            tables = [self._table(*columns, schema) for columns in self._waiting]
            self._waiting = []
            self._writer.write_table(pyarrow.concat_tables(tables), row_group_size=_GROUP_ROWS)

    def _table(self, own: Mapping[str, Array], answers: Sequence[Array], schema: Schema) -> Table:
        """Return columns as a table of the file's schema; a column that rows lack is empty."""
        import pyarrow

        count = len(answers[0])
        found = []
        for field in list(schema)[: len(schema) - len(answers)]:
            column = own.get(field.name, pyarrow.nulls(count))
            found.append(column if column.type == field.type else column.cast(field.type))
        return pyarrow.Table.from_arrays([*found, *answers], schema=schema)


def arrow_type(kind: Kind) -> Any:
    """Return the type of Arrow for what a column holds."""
    import pyarrow

    if isinstance(kind, list):
        return pyarrow.list_(arrow_type(kind[0]))
    if isinstance(kind, dict):
        return pyarrow.struct([(name, arrow_type(of)) for name, of in kind.items()])
    return pyarrow.string() if kind is str else pyarrow.from_numpy_dtype(kind)
