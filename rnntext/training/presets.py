"""What a run chooses where the user chose nothing.

Knows: sizes by preset, and how the size of the data moves the rest. Does not know: files or
torch. Every choice depends on the options and the data alone, never on the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from rnntext.training.options import TrainingOptions

# The word splitter of English prose gives few words to a small text; a treebank has its own.
_WORD_VOCABULARY = 50_000
_SUBWORD_VOCABULARIES = 600, 16_000
# Subwords for each root of the number of characters. What a label depends on is mostly whole words;
# a language model has to learn where each of its tokens may stand.
_SUBWORDS = {"lm": 2.5, "classify": 10.0, "tag": 10.0}
# Characters of training text below which a model is tiny, and from which on it is medium.
_TINY_TEXT, _LARGE_TEXT = 400_000, 50_000_000
_TINY_EXAMPLES = 100_000
# Tokens that a tagger reads at once.
LONGEST_SENTENCE = 512


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about a run that is neither its data nor its length."""

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
    ema_decay: float = 0.0
    embedding_lr_multiplier: float = 0.0  # times the learning rate, see Optimizer
    dropout_warmup_epochs: int = 0  # see LanguageModelling

    def to_json(self) -> dict[str, Any]:
        """The fields by their names in `config.json`."""
        return {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises TypeError for a field that there is not."""
        fields = {name: field for field, name in _JSON_NAMES.items()}
        return cls(**{fields.get(name, name): given for name, given in value.items()})


# Names in `config.json` that are older than the fields' own.
_JSON_NAMES = {
    "ema_decay": "averaging",
    "embedding_lr_multiplier": "word_rate",
    "dropout_warmup_epochs": "dropout_passes",
}

# preset: layers, hidden, embed
_SIZES = {
    "lm": {
        "tiny": (1, 160, 160),
        "small": (2, 256, 256),
        "medium": (2, 400, 400),
        "large": (2, 650, 650),
    },
    "classify": {
        "tiny": (1, 64, 64),
        # 64 units are right as often as 96 (mean accuracy of five held-out parts of SST-2 0.781 and
        # 0.778, of two runs on film reviews 0.899 and 0.895), learn and run faster; 48 units, or
        # embeddings of 64, are right less often (0.775).
        "small": (1, 64, 96),
        "medium": (1, 256, 256),
        "large": (2, 384, 300),
    },
    "tag": {
        "tiny": (1, 64, 64),
        "small": (1, 128, 128),
        "medium": (2, 200, 200),
        "large": (2, 384, 300),
    },
}


def choose_preset(options: TrainingOptions, characters: int) -> str:
    """The size of model that so much training text feeds."""
    if options.task != "lm":
        return "tiny" if characters < _TINY_EXAMPLES else "small"
    if characters < _TINY_TEXT:
        return "tiny"
    return "small" if characters < _LARGE_TEXT or _limited(options) else "medium"


def _limited(options: TrainingOptions) -> bool:
    """Whether a run over a large text may end before it has read all of it: a medium model would
    not have learned much by then. Minutes count as steps do, for steps repeat such a run."""
    return options.minutes is not None or options.steps is not None


def choose_tokenizer(options: TrainingOptions, characters: int) -> tuple[str, int, bool]:
    """Kind, largest vocabulary and lower-casing of a tokenizer for so much training text."""
    kind = options.tokenizer or "bpe"
    size = options.vocab_size
    if size is None:
        fewest, most = _SUBWORD_VOCABULARIES
        subwords = min(most, max(fewest, round(_SUBWORDS[options.task] * characters**0.5)))
        size = subwords if kind == "bpe" else _WORD_VOCABULARY
    lowercase = options.lowercase
    if lowercase is None:
        lowercase = kind == "word" and options.task == "classify"
    return kind, size, lowercase


def choose_recipe(options: TrainingOptions, characters: int, examples: int) -> Recipe:
    """The recipe for `characters` of training text in `examples` lines, documents or sentences."""
    task = options.task
    preset = options.preset or choose_preset(options, characters)
    layers, hidden, embed = _SIZES[task][preset]
    if task == "lm":
        tiny = characters < _TINY_TEXT
        recipe = Recipe(
            "lstm", layers, hidden, embed,
            bidirectional=False,
            batch_size=16 if tiny else 32 if characters < _LARGE_TEXT else 64,
            learning_rate=2e-3,
            # The less text there is, the more often it is read.
            dropout=0.6 if tiny else 0.3,
            token_dropout=0.0,
            bptt=35,
            max_length=0,
            clip_norm=0.25,
            warmup=30 if tiny else 150,
            embedding_lr_multiplier=4.0,
            dropout_warmup_epochs=0 if options.dropout is not None else 4,
        )  # fmt: skip
    else:
        recipe = Recipe(
            "lstm", layers, hidden, embed,
            bidirectional=True,
            batch_size=16 if examples < 2000 else 32,
            learning_rate=1e-3 if task == "classify" else 3e-3,
            dropout=0.5 if task == "classify" else 0.4,
            token_dropout=0.3 if task == "classify" else 0.05,
            bptt=0,
            max_length=400 if task == "classify" else LONGEST_SENTENCE,
            ema_decay=0.998,
        )  # fmt: skip
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
        given["token_dropout"] = 0.0  # nothing is left out at random
    if options.hidden is not None and options.embed is None and task == "lm":
        # Tied weights meet without a projection where both widths are one.
        given["embed"] = options.hidden
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})
