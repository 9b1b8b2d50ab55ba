"""The `rnntext` command: its sub-commands, and the exit status for each error.

Knows: exit statuses. Does not know: what the commands do. Their modules import what they need
only when they run, so that `--help` is quick.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from rnntext import __version__
from rnntext.cli import output
from rnntext.cli.commands import LazyGroup, click_command, lazy_group
from rnntext.cli.encodings import prepare_streams
from rnntext.errors import RnntextError
from rnntext.private import click_exception, keep_completion_help, keep_words_of_bash

INTERRUPTED = 130
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# Modules of this package with a `command`, and what each does, by the sections of the help. A
# newcomer reads from the top: first what makes a model, then what it can do.
_FIRST = "First steps"
SECTIONS = {
    _FIRST: {
        "demo": "Show three small models at work, in seconds.",
        "train": "Train a language model, a classifier or a tagger from files.",
    },
    "Running a model": {
        "generate": "Print the prompt and its continuation, as it is produced.",
        "predict": "Predict the next word of each record.",
        "score": "Compute the perplexity of each record.",
        "classify": "Label each record.",
        "tag": "Tag the words of each record.",
        "embed": "Turn each record into a vector, for other programs.",
    },
    "Measuring, looking inside, exporting": {
        "evaluate": "Measure a model on labelled data or text.",
        "info": "Describe a model: task, encoder, size, labels, data, results.",
        "inspect": "Look inside a model: states, gates, memory, reasons.",
        "plot": "Draw the training curves of one or several runs.",
        "compare": "Train recurrent networks and simpler models side by side.",
        "export": "Write one ONNX file, or run in int8.",
    },
}
COMMANDS = {name: what for section in SECTIONS.values() for name, what in section.items()}
_HELP = {"help": "Show what a command can do: `rnntext help train lm`."}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rnntext {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


class _Commands(LazyGroup):
    sections = {**SECTIONS, _FIRST: SECTIONS[_FIRST] | _HELP}  # noqa: RUF012

    def build(self, name: str) -> Any:
        return click_command(import_module(f"rnntext.cli.{name}").command, name)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if not args and not ctx.resilient_parsing:
            output.print_stderr(ctx.get_help())
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def make_app() -> typer.Typer:
    """The command line."""
    app = lazy_group(
        _Commands,
        {**COMMANDS, **_HELP},
        name="rnntext",
        help="Small recurrent language models, text classifiers and taggers from your own files.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_options)
    return app


def main() -> NoReturn:
    """Run the command line and exit the process with its status."""
    # Threads that run a model need the interpreter lock now and then. With Python's interval of
    # 5 ms they wait for it 5 to 10 % of the time that many lines take.
    sys.setswitchinterval(0.001)
    if "_RNNTEXT_COMPLETE" in os.environ:
        keep_completion_help(typer)
        keep_words_of_bash(typer)
    prepare_streams()
    try:
        status = make_app()(standalone_mode=False)
        # Flushes text that Click printed, such as help.
        output.write("")
    except click_exception(typer) as error:
        sys.exit(_report_command_line(error))
    except RnntextError as error:
        sys.exit(_report(str(error), error.exit_status))
    except OSError as error:
        # What a library, or Python itself as it imports a module, wants to open.
        if error.errno in (errno.EMFILE, errno.ENFILE):
            sys.exit(_report(f"{error.strerror}: raise the limit (`ulimit -n`)", 1))
        # Click prints its help without our checks; every other command converts its errors.
        if error.errno not in _DISK_ERRORS:
            raise
        sys.exit(_report(f"standard output cannot be written: {error.strerror}", 1))
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except MemoryError:
        sys.exit(_report("there is not enough memory: end other programs, or raise its limit", 1))
    except ImportError as error:
        if (error.name or "").startswith("rnntext"):
            raise
        sys.exit(_report(_describe_import_error(error), 1))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _describe_import_error(error: ImportError) -> str:
    """Name the library, and the reason that its own error gives or was raised from: often a limit
    of memory or of open files."""
    cause: BaseException = error
    while isinstance(cause.__cause__ or cause.__context__, ImportError | OSError):
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    reason = next(filter(str.strip, str(cause).splitlines()), "no reason given")
    return (
        f"{error.name or 'a library'} cannot be loaded ({reason.strip()}): raise the limit that it "
        "met (`ulimit -a`), or install it again"
    )


def _report(message: str, status: int) -> int:
    output.print_stderr(f"rnntext: {' '.join(message.splitlines())}")
    return status


def _report_command_line(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "rnntext"
    message = getattr(error, "format_message", error.__str__)()
    return _report(f"{message.rstrip('.')}; see `{path} --help`", 2)
