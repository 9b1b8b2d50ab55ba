"""`rnntext demo`: trains a model of each task on the packaged corpora and shows it at work."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rnntext.api import require_training
from rnntext.cli import output
from rnntext.cli.options import Quiet, RecordSource, Threads
from rnntext.cli.train import train
from rnntext.cli.values import path_option
from rnntext.errors import UsageError
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions

_PROMPTS = ("The heron", "Mara said")
_REVIEWS = (
    "A warm and funny book. I enjoyed every page.",
    "Lovely people, beautiful music, a perfect evening.",
    "The soup was cold and the service was poor.",
    "It broke on the second day, and nobody answered my letters.",
)
_SENTENCES = (
    "Captain Quill can't light the old lamp before Tobias rows home.",
    "Water the plant, and plant the beans by the water!",
)


def command(
    out: Annotated[
        Path | None,
        path_option("-o", "--output", metavar="DIR", help="Keep the models here."),
    ] = None,
    tour: Annotated[
        bool,
        typer.Option("--tour", help="Walk through what a recurrent network is, step by step."),
    ] = False,
    quiet: Quiet = False,
    threads: Threads = None,
) -> None:
    """Train a language model, a classifier and a tagger on sample text, and use them.

    Takes under two minutes on two cores. --tour explains recurrent networks with ten commands on
    models of its own, in about four minutes; with -o it writes DIR/tour.md with their pictures.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty: name another directory with -o")
    with contextlib.ExitStack() as stack:
        if out is None:
            temporary = tempfile.TemporaryDirectory(prefix="rnntext-demo-")
            directory = Path(stack.enter_context(temporary))
        else:
            directory = out
        if tour:
            from rnntext.cli.tour import walk

            require_training()
            directory.mkdir(parents=True, exist_ok=True)
            walk(directory, find_corpora(), kept=out is not None)
        else:
            demonstrate(directory, quiet, threads)


def demonstrate(directory: Path, quiet: bool, threads: int | None) -> None:
    """Train the three models into `directory` and show each at work."""
    corpora = find_corpora()
    for example in _EXAMPLES:
        output.write(f"\n{example.title}\n")
        options = TrainingOptions(
            example.task,
            (str(corpora / example.file),),
            tokenizer=example.tokenizer,
            minutes=example.minutes,
            seed=1,
            threads=threads,
        )
        output.write(
            f"  $ rnntext train {example.task} {example.file} --tokenizer {example.tokenizer} "
            f"--minutes {example.minutes} --seed 1 -o {example.task}\n"
        )
        metrics = _train(options, directory / example.task, quiet)
        output.write(f"  {example.result.format(**metrics)} on text it has not seen\n\n")
        example.show(directory / example.task)


def find_corpora() -> Path:
    """The sample text: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "corpora", package.parent / "corpora"):
        if (place / "stories.txt").is_file():
            return place
    raise UsageError(f"the sample corpora are not in {package}: install rnntext again")


def _train(options: TrainingOptions, directory: Path, quiet: bool) -> dict[str, Any]:
    """Train a model and return its metrics."""
    from rnntext.training.events import Saved

    _, end = train(
        options,
        directory,
        ExecutionOptions(cache=False),
        stoppable=False,
        quiet=quiet,
        began=time.perf_counter(),
    )
    assert isinstance(end, Saved)  # noqa: S101
    return end.metrics


def _generate(directory: Path) -> None:
    from rnntext.cli.generate import generate
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.sampling import SamplingOptions

    options = GenerationOptions(70, SamplingOptions(temperature=0.6), seed=3)
    for prompt in _PROMPTS:
        output.write(f'  $ rnntext generate -m lm "{prompt}" -n 70 --temperature 0.6 --seed 3\n')
        text = "".join(generate(directory, [[prompt]], options))
        output.write("".join(f"  {line}\n" for line in text.splitlines()) + "\n")


def _classify(directory: Path) -> None:
    from rnntext.cli.classify import classify

    output.write("  $ rnntext classify -m classify --with-text\n")
    for lines in classify(directory, RecordSource(texts=list(_REVIEWS)), with_text=True):
        output.write("".join(f"  {line}\n" for line in lines.splitlines()) + "\n")


def _tag(directory: Path) -> None:
    from rnntext.runtime.tagger import Tagger

    output.write("  $ rnntext tag -m tag\n")
    for sentence in Tagger.load(directory).tag(_SENTENCES):
        pairs = zip(sentence.words, sentence.tags, strict=True)
        output.write("  " + " ".join(f"{word}/{tag}" for word, tag in pairs) + "\n")


@dataclass(frozen=True, slots=True)
class _Example:
    title: str
    task: str
    file: str
    minutes: float  # under two in total, on any machine
    tokenizer: str  # on so little text, whole words give the better sentences
    result: str  # format of the metrics
    show: Callable[[Path], None]


_EXAMPLES = (
    _Example(
        "A language model of stories from a harbour town",
        "lm",
        "stories.txt",
        0.9,
        "word",
        "perplexity {perplexity:.1f}",
        _generate,
    ),
    _Example(
        "A classifier of reviews",
        "classify",
        "reviews.csv",
        0.4,
        "word",
        "accuracy {accuracy:.1%}",
        _classify,
    ),
    _Example(
        "A tagger of parts of speech",
        "tag",
        "tagged.conllu",
        0.3,
        "bpe",
        "accuracy {accuracy:.1%}",
        _tag,
    ),
)
