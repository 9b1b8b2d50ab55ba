"""`rnntext generate`: text that goes on from a prompt."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnntext.cli import options, output
from rnntext.errors import UsageError

if TYPE_CHECKING:
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.language_model import LanguageModel


def command(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]", help="How the text begins; else standard input, where piped."
        ),
    ] = None,
    model: options.Model = None,
    length: Annotated[
        int, typer.Option("-n", "--length", metavar="N", help="Tokens at most.")
    ] = 200,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="0 is greedy.")
    ] = 0.8,
    top_k: Annotated[
        int, typer.Option("--top-k", metavar="K", help="Of the K likeliest; 0 is all.")
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option("--top-p", metavar="P", help="Of the likeliest that make up P together."),
    ] = 1.0,
    min_p: Annotated[
        float,
        typer.Option("--min-p", metavar="P", help="Of those at least P times the likeliest."),
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", metavar="F", help="1 is none.")
    ] = 1.0,
    num_samples: Annotated[
        int, typer.Option("--num-samples", metavar="N", min=1, help="Samples of each prompt.")
    ] = 1,
    stop: Annotated[
        list[str] | None,
        typer.Option("--stop", metavar="TEXT", help="End before this text; repeatable."),
    ] = None,
    echo: Annotated[bool, typer.Option("--echo/--no-echo", help="Print the prompt first.")] = True,
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="line", help="One prompt a line of standard input."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Repeat the same text.")
    ] = None,
    encoding: options.Encoding = "utf-8",
    encoding_errors: options.EncodingErrors = "strict",
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Print the prompt and its continuation, as it is produced.

    With --record line each line of standard input is a prompt, and the end of the line that
    it begins ends its text.
    """
    from rnntext.runtime.generate import GenerationOptions
    from rnntext.runtime.sampling import SamplingOptions

    if record not in (None, "line"):
        raise UsageError(f"--record {record}: a prompt is the whole input, or with line a line")
    sampling = SamplingOptions(temperature, top_k, top_p, min_p, repetition_penalty)
    chosen = GenerationOptions(length, sampling, tuple(stop or ()), record == "line", _seed(seed))
    directory = options.model_directory(model)
    prompts = _prompts(prompt, record or "file", encoding, encoding_errors)
    for text in generate(directory, prompts, chosen, num_samples, echo, json, threads):
        output.write(text)


def generate(
    directory: Path,
    batches: Iterable[Sequence[str]],
    chosen: GenerationOptions,
    num_samples: int = 1,
    echo: bool = True,
    json: bool = False,
    threads: int | None = None,
) -> Iterator[str]:
    """What the command prints for batches of prompts, piece by piece."""
    from rnntext.runtime.language_model import LanguageModel

    language_model = LanguageModel.load(directory, threads, intra_op=True, when_needed=True)
    # One of two graphs is used. If it is damaged, that is said before a prompt is printed.
    if not chosen.sampling.plain or language_model.graph_sampler() is None:
        language_model.open()
    first = True
    for prompts in batches:
        if json:
            yield from _json(language_model, prompts, chosen, num_samples)
        else:
            yield from _texts(language_model, prompts, chosen, num_samples, echo, first)
        first = False


def _texts(
    model: LanguageModel,
    prompts: Sequence[str],
    chosen: GenerationOptions,
    num_samples: int,
    echo: bool,
    first: bool,
) -> Iterator[str]:
    from rnntext.runtime.generate import in_order, stream

    bold = plain = ""
    if echo and output.on_terminal() and output.console().color_system:
        bold, plain = "\x1b[1m", "\x1b[0m"

    def beginning(number: int) -> str:
        apart = "\n" if num_samples > 1 and not (first and number == 0) else ""
        return apart + (f"{bold}{prompts[number // num_samples]}{plain}" if echo else "")

    yield beginning(0)
    last = len(prompts) * num_samples - 1
    for number, piece in in_order(stream(model, prompts, chosen, num_samples)):
        yield piece.text
        if piece.finish_reason is not None:
            yield "\n" + (beginning(number + 1) if number < last else "")


def _json(
    model: LanguageModel, prompts: Sequence[str], chosen: GenerationOptions, num_samples: int
) -> Iterator[str]:
    from dataclasses import asdict

    from rnntext.runtime.generate import generate as whole

    yield from (
        output.json_line(asdict(found)) for found in whole(model, prompts, chosen, num_samples)
    )


def _prompts(
    prompt: str | None, record: str, encoding: str, encoding_errors: str
) -> Iterator[list[str]]:
    """Batches of prompts: the argument, the lines of a pipe that are there now, or all of a pipe
    less one final LF."""
    from rnntext.text.records import InputOptions, read_records

    if prompt is not None:
        return iter([[options.utf_8("PROMPT", prompt)]])
    reading = InputOptions(record, None, encoding, encoding_errors)
    if record == "line":
        options.require_piped()
        return ([r.text for r in batch] for batch in read_records([], reading))
    if sys.stdin is None or sys.stdin.isatty():
        return iter([[""]])
    whole = read_records([], reading)
    texts = [record.text for batch in whole for record in batch]
    return iter([["".join(texts)]])


def _seed(seed: int | None) -> int:
    """The seed that was given, or one that nobody chose."""
    if seed is not None:
        return seed
    import secrets

    return secrets.randbits(32)
