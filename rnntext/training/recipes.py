"""Defaults that depend on the size of the data: model sizes, recipes and vocabularies.

Knows: what a recipe is, and how options override it. Does not know: any one task (each has its
own sizes and rates in `training/tasks`), files or PyTorch. Every choice depends on the options
and the data alone, never on the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from rnntext.json_fields import read_record
from rnntext.metrics import is_span_tags
from rnntext.training.options import TrainingOptions

# The word splitter of English prose gives few words to a small text; a treebank has its own.
_WORD_VOCABULARY = 50_000
_SUBWORD_VOCABULARIES = 600, 16_000  # the smallest and the largest


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sizes of the encoder and hyperparameters of the optimization: all but data and length."""

    cell: str
    layers: int
    hidden: int
    embed: int
    bidirectional: bool
    batch_size: int
    learning_rate: float
    dropout: float
    token_dropout: float
    bptt: int
    max_length: int
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup: int = 30  # steps
    ema_decay: float = 0.0  # of the averaged weights, see Optimizer; 0: no averaging
    embedding_lr_multiplier: float = 0.0  # times the learning rate, see Optimizer
    dropout_warmup_epochs: int = 0  # see tasks/language_model.py

    def to_json(self) -> dict[str, Any]:
        """The fields by their names in `config.json`."""
        return {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises FieldError for a field that is missing, unknown or of
        another type."""
        fields = {name: field for field, name in _JSON_NAMES.items()}
        renamed = {fields.get(name, name): given for name, given in value.items()}
        return read_record(cls, renamed, "training.recipe", allow_unknown=False)

    def override(self, options: TrainingOptions) -> Self:
        """This recipe with the hyperparameters that the user chose."""
        given: dict[str, Any] = {
            "cell": options.cell,
            "layers": options.layers,
            "hidden": options.hidden,
            "embed": options.embed,
            "batch_size": options.batch_size,
            "learning_rate": options.lr,
            "dropout": options.dropout,
            "bptt": options.bptt,
        }
        if options.dropout == 0:
            given["token_dropout"] = 0.0  # no randomness at all
        return replace(self, **{name: value for name, value in given.items() if value is not None})


# Names in `config.json` that are older than the fields' own.
_JSON_NAMES = {
    "ema_decay": "averaging",
    "embedding_lr_multiplier": "word_rate",
    "dropout_warmup_epochs": "dropout_passes",
}


@dataclass(frozen=True, slots=True)
class TokenizerDefaults:
    """How a task's vocabulary grows with its training text."""

    # Subwords for each square root of the number of characters. A label depends mostly on whole
    # words; a language model has to learn where each of its tokens may stand.
    subwords_per_root: float
    lowercase_words: bool = False  # of the tokenizer `word`


# A tagger of more tags has no conditional random field unless it is asked for, as the time of its
# steps grows with their square. In the same time it gave a point with 79 tags (DEPREL of a small
# treebank) and nothing with 100 (XPOS of another), and with 173 a step takes 7 times as long. Tags
# of spans keep it, as it forbids broken ones.
_CRF_TAGS, _CRF_SPAN_TAGS = 100, 256


def has_crf(options: TrainingOptions, tags: Sequence[str]) -> bool:
    """Return True if a tagger of these tags has a conditional random field."""
    if options.crf is not None:
        return options.crf
    return len(tags) <= (_CRF_SPAN_TAGS if is_span_tags(tags) else _CRF_TAGS)


def choose_tokenizer(
    options: TrainingOptions, characters: int, defaults: TokenizerDefaults
) -> tuple[str, int, bool]:
    """Kind, largest vocabulary and lower-casing of a tokenizer for `characters` of text."""
    kind = options.tokenizer or "bpe"
    size = options.vocab_size
    if size is None:
        smallest, largest = _SUBWORD_VOCABULARIES
        subwords = min(largest, max(smallest, round(defaults.subwords_per_root * characters**0.5)))
        size = subwords if kind == "bpe" else _WORD_VOCABULARY
    lowercase = options.lowercase
    if lowercase is None:
        lowercase = kind == "word" and defaults.lowercase_words
    return kind, size, lowercase
