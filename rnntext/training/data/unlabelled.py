"""Training examples without labels, from files to the examples that are encoded.

Knows: which of them are left out, because validation has them or their group, and how many a time
budget allows. Does not know: how they are encoded (`prepare_examples.py`), or who answers them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Generic

from rnntext.text.formats import DataOptions
from rnntext.training.data import prepare
from rnntext.training.data.example_schema import Example, ExampleSchema
from rnntext.training.data.near_duplicates import fingerprint
from rnntext.training.data.prepare import ShareSpent
from rnntext.training.options import TrainingOptions


class UnlabelledExamples(Generic[Example]):
    """The examples of `--unlabelled` that are no near duplicates of validation examples, and of
    no group that validation has.

    They are read once here, to count them, and again by each `read`; of the validation examples
    only fingerprints are held.
    """

    def __init__(
        self,
        schema: ExampleSchema[Example],
        options: TrainingOptions,
        reading: DataOptions,
        valid: Collection[Example],
        spent: ShareSpent,
    ) -> None:
        self._schema = schema
        self._valid = {fingerprint(schema.content(example)) for example in valid}
        self._groups = {example.group for example in valid} - {None}
        self.read_count = self.left_out = self.characters = 0
        # The time budget ended the scan, or an input was copied in part.
        self.cut = options.unlabelled_part is not None
        copies = reading.buffered_sources
        self.cut |= any(copies[path].truncated for path in options.unlabelled if path in copies)
        most, most_encoded = options.unlabelled_part or (0, 0)
        self.most_encoded = most_encoded or None
        self._reader = schema.unlabelled_reader(options.unlabelled, options.data, reading)
        if options.unlabelled:
            self._scan(most or None, spent)

    def _scan(self, most: int | None, spent: ShareSpent) -> None:
        deadline = prepare.scan_deadline(spent)
        for example in islice(self._reader(), most):
            if self.read_count and self.read_count % prepare.CHUNK == 0 and spent() > deadline:
                self.cut = True
                return
            self.read_count += 1
            if self._is_valid(example):
                self.left_out += 1
            else:
                self.characters += self._schema.size(example)

    @property
    def count(self) -> int:
        """The number of examples that `read` yields."""
        return self.read_count - self.left_out

    def read(self) -> Iterator[Example]:
        """Yield the examples from the start."""
        examples = islice(self._reader(), self.read_count)
        return (example for example in examples if not self._is_valid(example))

    def _is_valid(self, example: Example) -> bool:
        if example.group in self._groups:
            return True
        return fingerprint(self._schema.content(example)) in self._valid
