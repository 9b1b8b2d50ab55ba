"""Values that shell completion offers for an option.

Knows: which options have values that can be listed. Does not know: the shells; Typer's scripts
fall back to files where nothing is offered, which is right for paths. Whatever takes time to import
is imported when a value is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Completion = Callable[[str], list[str]]  # what is typed so far -> values

# Metrics of `evaluate` that bounds are set on, of all tasks.
METRICS = (
    *("perplexity", "perplexity_known", "bits_per_byte", "tokens", "unknown_rate"),
    *("accuracy", "macro_f1", "micro_f1", "log_loss", "ece", "majority"),
    *("precision", "recall", "f1"),
)
# Codecs of Python's table of encodings that are none of text, or of Windows alone.
_NO_ENCODINGS = ("mbcs", "rot_13")


def offering(values: Callable[[], Iterable[str]]) -> Completion:
    """A completion that offers those of `values` that begin as what is typed."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values() if value.startswith(incomplete)]

    return complete


def of_metavar(metavar: str | None) -> Completion | None:
    """A completion of the values that a metavar lists: `gru|lstm`. None for a metavar in capitals,
    which only describes a value."""
    if metavar is None or metavar != metavar.lower():
        return None
    return offering(lambda: metavar.split("|"))


def packaged_models(incomplete: str) -> list[str]:
    """`demo:NAME`, where `demo` is typed and no file has such a name; else files are completed."""
    from glob import escape, glob

    from rnntext.packaged import PACKAGED, PREFIX

    if not incomplete.startswith(PREFIX.rstrip(":")) or glob(f"{escape(incomplete)}*"):
        return []
    names = (f"{PREFIX}{name}" for name in PACKAGED)
    return [name for name in names if name.startswith(incomplete)]


def completion_of(name: str, metavar: str | None) -> Completion | None:
    """The completion of the training option `name`."""
    return of_metavar(metavar) or _BY_NAME.get(name)


def _encodings() -> Iterable[str]:
    from encodings.aliases import aliases

    codecs = sorted({*aliases.values()} - {*_NO_ENCODINGS})
    return [name.replace("_", "-") for name in codecs if not name.endswith("_codec")]


def _formats() -> Iterable[str]:
    from rnntext.text.formats import FORMATS

    return FORMATS


def _tag_columns() -> Iterable[str]:
    from rnntext.text.tagged import CONLLU_COLUMNS

    return CONLLU_COLUMNS


def _logged_metrics() -> Iterable[str]:
    from rnntext.tasks import TASKS

    return dict.fromkeys(metric for task in TASKS.values() for metric in task.metrics)


encodings = offering(_encodings)
logged_metrics = offering(_logged_metrics)
bounds = offering(lambda: (f"{metric}=" for metric in METRICS))
_BY_NAME = {
    "distil": packaged_models,
    "encoding": encodings,
    "format": offering(_formats),
    "init": packaged_models,
    "split": offering(lambda: ("train", "validation", "test")),
    "tag_column": offering(_tag_columns),
}
