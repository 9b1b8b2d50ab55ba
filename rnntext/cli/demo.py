"""`rnntext demo`: a model of each task at work, those of the package or others trained on its
corpora.

Knows: what is shown of each. Does not know: how the packaged models were made
(`.ci/make_models.py`).
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.api import require_training
from rnntext.cli import output
from rnntext.cli.options import Quiet, RecordSource, Threads
from rnntext.cli.values import path_option
from rnntext.errors import UsageError
from rnntext.packaged import PREFIX, locate_model

if TYPE_CHECKING:
    from rnntext.training.options import TrainingOptions

_PROMPTS = ("The heron", "Mara said")
_BEGINNING = "The heron stood in the"
_REVIEWS = (
    "A warm and funny book. I enjoyed every page.",
    "Lovely people, beautiful music, a perfect evening.",
    "The soup was cold and the service was poor.",
    "It broke on the second day, and nobody answered my letters.",
)
_SENTENCES = (
    "Captain Quill can't light the old lamp before Tobias rows home.",
    "Water the plant, and plant the beans by the water.",
)


def command(
    out: Annotated[
        Path | None,
        path_option("-o", "--output", metavar="DIR", help="Train, and keep the models here."),
    ] = None,
    training: Annotated[
        bool,
        typer.Option("--train", help="Train such models first, in under two minutes on two cores."),
    ] = False,
    tour: Annotated[
        bool,
        typer.Option("--tour", help="Walk through what a recurrent network is, step by step."),
    ] = False,
    quiet: Quiet = False,
    threads: Threads = None,
) -> None:
    """Show three small models at work: a language model, a classifier and a tagger.

    The package carries them, so this takes seconds and needs no PyTorch. --train trains such models
    on the sample text first, and -o DIR keeps them. --tour explains recurrent networks with ten
    commands on models of its own, in about four minutes; with -o it writes DIR/tour.md with their
    pictures.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty: name another directory with -o")
    if training and tour:
        raise UsageError("--train and --tour exclude each other")
    if not (training or tour or out):
        show_packaged(threads)
        return
    require_training("--tour" if tour else "--train")
    with contextlib.ExitStack() as stack:
        if out is None:
            temporary = tempfile.TemporaryDirectory(prefix="rnntext-demo-")
            directory = Path(stack.enter_context(temporary))
        else:
            directory = out
        if tour:
            from rnntext.cli.tour import walk

            directory.mkdir(parents=True, exist_ok=True)
            walk(directory, find_corpora(), kept=out is not None)
        else:
            demonstrate(directory, quiet, threads)


def show_packaged(threads: int | None) -> None:
    """Show each of the models that the package carries at work."""
    from rnntext.checkpoint import load_config

    for example in _EXAMPLES:
        name = PREFIX + example.packaged
        directory = locate_model(name)
        metrics = load_config(directory)["results"]["metrics"]
        size = sum(path.stat().st_size for path in directory.iterdir())
        output.write(f"\n{example.title}\n")
        output.write(f"  {name}, {size / 1e6:.1f} MB, {example.result.format(**metrics)}")
        output.write(" on text it has not seen\n\n")
        example.show(directory, name, threads)
    output.write(_NEXT)


def demonstrate(directory: Path, quiet: bool, threads: int | None) -> None:
    """Train the three models into `directory` and show each at work."""
    from rnntext.training.options import TrainingOptions

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
        example.show(directory / example.task, example.task, threads)


def find_corpora() -> Path:
    """The sample text: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "corpora", package.parent / "corpora"):
        if (place / "stories.txt").is_file():
            return place
    raise UsageError(f"the sample corpora are not in {package}: install rnntext again")


def _train(options: TrainingOptions, directory: Path, quiet: bool) -> dict[str, Any]:
    """Train a model and return its metrics."""
    from rnntext.cli.train import train
    from rnntext.training.events import Saved
    from rnntext.training.execution_options import ExecutionOptions

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


def _show_language_model(directory: Path, name: str, threads: int | None) -> None:
    from rnntext.cli.generate import generate
    from rnntext.cli.predict import predict
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.sampling import SamplingOptions

    options = GenerationOptions(70, SamplingOptions(temperature=0.6), seed=1)
    for prompt in _PROMPTS:
        output.write(
            f'  $ rnntext generate -m {name} "{prompt}" -n 70 --temperature 0.6 --seed 1\n'
        )
        text = "".join(generate(directory, [[prompt]], options, threads=threads))
        output.write("".join(f"  {line}\n" for line in text.splitlines()) + "\n")
    output.write(f'  $ rnntext predict -m {name} -k 3 --text "{_BEGINNING}"\n')
    for line in predict(directory, RecordSource(texts=[_BEGINNING]), 3, False, False, threads):
        output.write(f"  {line}\n")


def _show_classifier(directory: Path, name: str, threads: int | None) -> None:
    from rnntext.runtime.classifier import Classifier

    answers = Classifier.load(directory, threads).classify(_REVIEWS)
    for review, answer in zip(_REVIEWS, answers, strict=True):
        output.write(f'  $ rnntext classify -m {name} --text "{review}"\n')
        output.write(f"  {answer.label}\t{output.format_probability(answer.probability)}\n")


def _show_tagger(directory: Path, name: str, threads: int | None) -> None:
    from rnntext.runtime.tagger import Tagger

    for text, sentence in zip(
        _SENTENCES, Tagger.load(directory, threads).tag(_SENTENCES), strict=True
    ):
        output.write(f'  $ rnntext tag -m {name} --text "{text}"\n')
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            output.write(f"  {word}\t{tag}\n")


@dataclass(frozen=True, slots=True)
class _Example:
    title: str
    task: str
    packaged: str  # the name of the packaged model
    file: str
    minutes: float  # under two in total, on any machine
    tokenizer: str  # on so little text, whole words give the better sentences
    result: str  # format of the metrics
    show: Callable[[Path, str, int | None], None]


_EXAMPLES = (
    _Example(
        "A language model of stories from a harbour town",
        "lm",
        "stories",
        "stories.txt",
        0.9,
        "word",
        "perplexity {perplexity:.1f}",
        _show_language_model,
    ),
    _Example(
        "A classifier of reviews",
        "classify",
        "reviews",
        "reviews.csv",
        0.4,
        "word",
        "accuracy {accuracy:.1%}",
        _show_classifier,
    ),
    _Example(
        "A tagger of parts of speech",
        "tag",
        "tags",
        "tagged.conllu",
        0.3,
        "bpe",
        "accuracy {accuracy:.1%}",
        _show_tagger,
    ),
)
_NEXT = """
  Your own: rnntext train classify reviews.csv -o sentiment   (or `rnntext demo --train`)
            rnntext classify -m sentiment letters.txt
"""
