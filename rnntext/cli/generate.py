"""`rnntext generate`: the continuation of a prompt."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext import arguments
from rnntext.cli import output
from rnntext.cli.options import (
    INPUT,
    Encoding,
    EncodingErrors,
    MaxLine,
    Model,
    RunOptions,
    check_utf8,
    model_directory,
    refuse_terminal,
)
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option, number_option
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.language_model import LanguageModel
    from rnntext.text.records import InputOptions


@expanded
def command(
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]",
            help="Beginning of the text.",
            show_default="a piped standard input",
        ),
    ] = None,
    model: Model = None,
    length: Annotated[
        int,
        number_option(
            "-n",
            "--length",
            metavar="N",
            within=arguments.LENGTH,
            help="Maximum number of tokens.",
        ),
    ] = 200,
    temperature: Annotated[
        float,
        number_option(
            "--temperature",
            metavar="T",
            within=arguments.TEMPERATURE,
            help="Softmax temperature; 0 is greedy.",
        ),
    ] = 0.8,
    top_k: Annotated[
        int,
        number_option(
            "--top-k",
            metavar="K",
            within=arguments.TOP_K_OR_OFF,
            help="Sample from the K likeliest; 0 is all.",
        ),
    ] = 0,
    top_p: Annotated[
        float,
        number_option(
            "--top-p",
            metavar="P",
            within=arguments.TOP_P,
            help="Sample from the likeliest with a total probability of P.",
        ),
    ] = 1.0,
    min_p: Annotated[
        float,
        number_option(
            "--min-p",
            metavar="P",
            within=arguments.PROBABILITY,
            help="Sample from those at least P times as likely as the best.",
        ),
    ] = 0.0,
    repetition_penalty: Annotated[
        float,
        number_option(
            "--repetition-penalty",
            metavar="F",
            within=arguments.REPETITION_PENALTY,
            help="Penalty of repetition; 1 is none.",
        ),
    ] = 1.0,
    num_samples: Annotated[
        int,
        number_option(
            "--num-samples", metavar="N", within=arguments.SAMPLES, help="Samples of each prompt."
        ),
    ] = 1,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", metavar="TEXT", help="Stop before this text; repeatable."),
    ] = None,
    echo: Annotated[bool, typer.Option("--echo/--no-echo", help="Print the prompt first.")] = True,
    record: Annotated[
        str | None,
        choice_option(
            "--record",
            metavar="line",
            help="Each line of standard input is a prompt.",
            show_default="all of it is one",
            rich_help_panel=INPUT,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        number_option(
            "--seed",
            metavar="N",
            within=arguments.SEED,
            help="Seed of the random numbers.",
            show_default="another each time",
        ),
    ] = None,
    encoding: Encoding = "utf-8",
    encoding_errors: EncodingErrors = "strict",
    max_line: MaxLine = arguments.DEFAULT_LONGEST_RECORD,
    run: RunOptions,
) -> None:
    """Print the prompt and its continuation, as it is produced.

    With --record line each line of standard input is a prompt, and its continuation ends at the
    end of the line.
    """
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.sampling import SamplingOptions
    from rnntext.text.records import InputOptions

    if record not in (None, "line"):
        raise UsageError(f"--record {record}: a prompt is the whole input, or with line a line")
    sampling = SamplingOptions(temperature, top_k, top_p, min_p, repetition_penalty)
    options = GenerationOptions(length, sampling, tuple(stop or ()), record == "line", _seed(seed))
    directory = model_directory(model)
    reading = InputOptions(record or "file", None, encoding, encoding_errors, max_line)
    prompts = _prompts(prompt, reading)
    pieces = generate(directory, prompts, options, num_samples, echo, run.json, run.threads)
    for text in pieces:
        output.write(text)


def generate(
    directory: Path,
    batches: Iterable[Sequence[str]],
    options: GenerationOptions,
    num_samples: int = 1,
    echo: bool = True,
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """Yield the output of the command for batches of prompts, piece by piece."""
    from rnntext.runtime.language_model import LanguageModel

    language_model = LanguageModel.load(directory, threads, intra_op=True, when_needed=True)
    # Open the graph that this sampling needs, so that a damaged file is reported before a prompt
    # is run.
    if not options.sampling.is_temperature_only or language_model.graph_sampler() is None:
        language_model.open()
    first = True
    for prompts in batches:
        if json:
            yield from _json(language_model, prompts, options, num_samples)
        else:
            yield from _texts(language_model, prompts, options, num_samples, echo, first)
        first = False


def _texts(
    model: LanguageModel,
    prompts: Sequence[str],
    options: GenerationOptions,
    num_samples: int,
    echo: bool,
    first: bool,
) -> Iterator[str]:
    from rnntext.runtime.generate import sort_by_text, stream

    bold = plain = ""
    if echo and output.on_terminal() and output.console().color_system:
        bold, plain = "\x1b[1m", "\x1b[0m"

    def beginning(number: int) -> str:
        separator = "\n" if num_samples > 1 and not (first and number == 0) else ""
        return separator + (
            f"{bold}{output.shown(prompts[number // num_samples])}{plain}" if echo else ""
        )

    yield beginning(0)
    last = len(prompts) * num_samples - 1
    for number, piece in sort_by_text(stream(model, prompts, options, num_samples)):
        yield output.shown(piece.text)
        if piece.finish_reason is not None:
            yield "\n" + (beginning(number + 1) if number < last else "")


def _json(
    model: LanguageModel, prompts: Sequence[str], options: GenerationOptions, num_samples: int
) -> Iterator[str]:
    from dataclasses import asdict

    from rnntext.runtime.generate import generate

    samples = generate(model, prompts, options, num_samples)
    yield from (output.json_line(asdict(sample)) for sample in samples)


def _prompts(prompt: str | None, reading: InputOptions) -> Iterator[list[str]]:
    """Batches of prompts: the argument; or the lines of a pipe as they arrive; or all of the pipe
    as one prompt, without a final LF."""
    from rnntext.text.records import read_records

    if prompt is not None:
        return iter([[check_utf8("PROMPT", prompt)]])
    if reading.record == "line":
        refuse_terminal()
        return ([r.text for r in batch] for batch in read_records([], reading))
    if sys.stdin is None or sys.stdin.isatty():
        return iter([[""]])
    texts = [record.text for batch in read_records([], reading) for record in batch]
    return iter([["".join(texts)]])


def _seed(seed: int | None) -> int:
    """Return the given seed, or a random one."""
    if seed is not None:
        return seed
    import secrets

    return secrets.randbits(32)
