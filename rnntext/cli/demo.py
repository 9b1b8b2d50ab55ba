"""`rnntext demo`: the three tasks on the packaged corpora, start to end."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import options, output
from rnntext.cli.options import Source
from rnntext.cli.train import train
from rnntext.errors import UsageError
from rnntext.training.options import ExecutionOptions, TrainingOptions

if TYPE_CHECKING:
    from rnntext.training.events import Saved, StepTimed


@dataclass(frozen=True, slots=True)
class _Run:
    title: str
    task: str
    file: str
    minutes: float  # together under two, on any machine
    tokenizer: str  # of text so short, whole words make the better sentences


_RUNS = (
    _Run("A language model of stories from a harbour town", "lm", "stories.txt", 0.9, "word"),
    _Run("A classifier of reviews", "classify", "reviews.csv", 0.4, "word"),
    _Run("A tagger of parts of speech", "tag", "tagged.conllu", 0.3, "bpe"),
)
_PROMPTS = ("The heron", "Mara said")
_REVIEWS = (
    "A warm and funny book. I enjoyed every page.",
    "The soup was cold and the service was poor.",
    "I expected to hate it and did not.",
    "It could have been wonderful and was not.",
)
_SENTENCES = (
    "Captain Quill can't light the old lamp before Tobias rows home.",
    "Water the plant, and plant the beans by the water!",
)


def command(
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Keep the three models here."),
    ] = None,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Train a language model, a classifier and a tagger on sample text, and use them.

    Takes under two minutes on two cores.
    """
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists and is not empty: name another directory with -o")
        demonstrate(out, quiet, threads)
        return
    with tempfile.TemporaryDirectory(prefix="rnntext-demo-") as directory:
        demonstrate(Path(directory), quiet, threads)


def demonstrate(directory: Path, quiet: bool = False, threads: int | None = None) -> None:
    """Train the three models into `directory` and show each at work."""
    corpora = find_corpora()
    for run in _RUNS:
        output.write(f"\n{run.title}\n")
        chosen = TrainingOptions(
            run.task,
            (str(corpora / run.file),),
            tokenizer=run.tokenizer,
            minutes=run.minutes,
            seed=1,
            threads=threads,
        )
        output.write(
            f"  $ rnntext train {run.task} {run.file} --tokenizer {run.tokenizer} "
            f"--minutes {run.minutes} --seed 1 -o {run.task}\n"
        )
        _, end = train(
            chosen,
            directory / run.task,
            ExecutionOptions(cache=False),
            stoppable=False,
            quiet=quiet,
            began=time.perf_counter(),
        )
        assert end is not None  # noqa: S101
        output.write(f"  {_summary(end)} on text it has not seen\n\n")
        {"lm": _generate, "classify": _classify, "tag": _tag}[run.task](directory / run.task)


def find_corpora() -> Path:
    """The sample text: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "corpora", package.parent / "corpora"):
        if (place / "stories.txt").is_file():
            return place
    raise UsageError(f"the sample corpora are not in {package}: install rnntext again")


def _summary(end: Saved | StepTimed) -> str:
    from rnntext.training.events import Saved

    assert isinstance(end, Saved)  # noqa: S101
    metrics = end.metrics
    if end.task == "lm":
        return f"perplexity {metrics['perplexity']:.1f}"
    return f"accuracy {metrics['accuracy']:.1%}"


def _generate(directory: Path) -> None:
    from rnntext.cli.generate import generate
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.sampling import SamplingOptions

    chosen = GenerationOptions(70, SamplingOptions(temperature=0.6), seed=3)
    for prompt in _PROMPTS:
        output.write(f'  $ rnntext generate -m lm "{prompt}" -n 70 --temperature 0.6 --seed 3\n')
        text = "".join(generate(directory, [[prompt]], chosen))
        output.write("".join(f"  {line}\n" for line in text.splitlines()) + "\n")


def _classify(directory: Path) -> None:
    from rnntext.cli.classify import classify

    output.write("  $ rnntext classify -m classify --with-text\n")
    for answer in classify(directory, Source([], _REVIEWS), with_text=True):
        output.write("".join(f"  {line}\n" for line in answer.splitlines()) + "\n")


def _tag(directory: Path) -> None:
    from rnntext.runtime.tag import Tagger

    output.write("  $ rnntext tag -m tag\n")
    for sentence in Tagger.load(directory).tag(_SENTENCES):
        pairs = zip(sentence.words, sentence.tags, strict=True)
        output.write("  " + " ".join(f"{word}/{tag}" for word, tag in pairs) + "\n")
