"""Interface between a task and the preparation of its labelled examples.

Knows: the parts of an example that a split, a tokenizer and an encoder need. Does not know: any
one task, or what becomes of the ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from rnntext.text.formats import DataOptions
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.store import Array
from rnntext.training.recipes import TokenizerDefaults


class SourcedExample(Protocol):
    """An example that says where it was read, and to which group it belongs."""

    @property
    def source(self) -> str: ...  # the name of its file, for messages

    @property
    def line(self) -> int: ...  # from 1

    @property
    def group(self) -> str | None: ...  # examples of one group stay in one part


Example = TypeVar("Example", bound=SourcedExample)


class EncodedRows(NamedTuple):
    """Examples as they are stored, in rows of the same order."""

    ids: list[Array]  # token ids
    targets: list[Array]
    texts: list[str]  # what a linear model reads
    raw: list[str] | None = None  # what a splitter reads; None: the task has none


class ExampleSchema(ABC, Generic[Example]):
    """How the examples of one task are read, split and encoded."""

    unit: str  # examples in counts: "documents"
    noun: str  # examples where there are too few: "examples"
    label_noun: str  # "label" or "tag"
    presplit: bool | None = None  # words are given; None: the tokenizer finds out
    has_raw_text: bool = False  # its rows have what a splitter reads
    # Refuse a label that has one example: it could not be both learned and validated.
    requires_second_example: bool = False
    tokenizer_defaults: TokenizerDefaults

    @abstractmethod
    def reader(self, paths: Sequence[str], reading: DataOptions) -> Callable[[], Iterator[Example]]:
        """A function that reads `paths` from the start each time it is called."""

    def unlabelled_reader(
        self, paths: Sequence[str], labelled: Sequence[str], reading: DataOptions
    ) -> Callable[[], Iterator[Example]]:
        """A function that reads examples without labels from `paths`, whose format may be that of
        the `labelled` files; of a task that has no option `--unlabelled` nothing is read."""
        return lambda: iter(())

    @abstractmethod
    def content(self, example: Example) -> tuple[str, ...]:
        """The input that is learned from; examples of equal content, or of contents that are near
        duplicates, stay in one part."""

    @abstractmethod
    def labels(self, example: Example) -> tuple[str, ...]:
        """The example's labels, with repetitions."""

    @abstractmethod
    def stratum(self, example: Example) -> tuple[str, ...]:
        """The stratum of a stratified split; each gives validation its share."""

    @abstractmethod
    def size(self, example: Example) -> int:
        """Number of characters."""

    @abstractmethod
    def lines(self, example: Example) -> Iterable[str]:
        """The lines that a tokenizer is learned from."""

    @abstractmethod
    def label_set(self, seen: Iterable[str]) -> tuple[str, ...]:
        """The labels to learn, sorted, given those seen in the data."""

    @abstractmethod
    def encode(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        label_ids: Mapping[str, int],
        *,
        keep_whole: bool,
    ) -> EncodedRows:
        """A row for each example. Unless `keep_whole`, a long example may become several rows."""
