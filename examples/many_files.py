"""Answer the rows of many Parquet files with Dask: on all cores, or on the machines of a cluster.

python examples/many_files.py sentiment reviews/ answered/
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import dask
from pyarrow import RecordBatch
from pyarrow.parquet import ParquetFile, ParquetWriter

import rnntext


def answer_file(answers: Callable[[RecordBatch], RecordBatch], source: Path, target: Path) -> int:
    """Write the rows of a file with their answers, a batch at a time; return their number."""
    unfinished = target.with_suffix(".unfinished")
    with (
        ParquetFile(source) as file,
        ParquetWriter(unfinished, answers.schema(file.schema_arrow)) as writer,
    ):
        for batch in file.iter_batches(16_384):
            writer.write_batch(answers(batch))
        rows = file.metadata.num_rows
    os.replace(unfinished, target)  # a file is there as a whole, or not at all
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the model's directory")
    parser.add_argument("data", type=Path, help="a directory of .parquet files")
    parser.add_argument("output", type=Path, help="a directory for the answered ones")
    parser.add_argument("--text-column", help="of the texts (otherwise: text)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    given = parser.parse_args()

    # Each worker runs one file at a time, so that one thread is enough for the model.
    answers = rnntext.load(given.model, threads=1).batches(text_column=given.text_column)
    given.output.mkdir(parents=True, exist_ok=True)
    tasks = [
        dask.delayed(answer_file)(answers, path, given.output / path.name)
        for path in sorted(given.data.glob("*.parquet"))
        if not (given.output / path.name).exists()  # what an earlier run has finished stays
    ]
    # On a cluster: client = dask.distributed.Client(ADDRESS), and compute without a scheduler.
    rows = dask.compute(*tasks, scheduler="processes", num_workers=given.workers)
    print(f"answered {sum(rows)} rows in {len(rows)} files")


if __name__ == "__main__":
    main()
