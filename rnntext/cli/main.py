"""The `rnntext` command: its subcommands, and what becomes of their errors.

Knows: exit statuses. Does not know: what the commands do; their modules import the rooms that
they need only when they run, so that `--help` is quick.
"""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from rnntext import __version__
from rnntext.cli import output
from rnntext.errors import RnntextError

INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# Each is a module of this room with a function `command`, in the order of the help.
COMMANDS = {
    "train": "Train a language model, a classifier or a tagger from files.",
    "generate": "Print the prompt and its continuation, as it is produced.",
    "predict": "Give each record's likeliest next words.",
    "score": "Say how expected each record is.",
    "classify": "Label each record.",
    "tag": "Tag the words of each record.",
    "evaluate": "Measure a model on data with known answers.",
    "info": "Say what a model is: task, encoder, size, labels, data, results.",
    "export": "Write one ONNX file, or run in int8.",
    "plot": "Draw the training curves of one or several runs.",
    "demo": "Train one of each on sample text, and use them.",
}

# Typer carries its own copy of Click, whose base class of command line errors is reached
# through the one that Typer exports.
_CommandLineError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


# Neither help nor errors are drawn with Rich, which would have to be imported.
_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


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


class _Commands(TyperGroup):
    """The commands by name and summary; one that is asked for is imported, because importing all
    of them would double the time that help and completion take."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, args = super().resolve_command(ctx, args)
        return name, command and _imported(str(command.name)), args


def make_app() -> typer.Typer:
    """The command line."""
    app = typer.Typer(
        cls=_Commands,
        name="rnntext",
        help="Small recurrent language models, text classifiers and taggers from your own files.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        **_PLAIN,
    )
    app.callback()(_options)
    for name, summary in COMMANDS.items():
        app.command(name, help=summary)(_stand_in)
    return app


def _stand_in() -> None:
    pass


def _imported(name: str) -> Any:
    app = typer.Typer(add_completion=False, **_PLAIN)
    app.command(name)(import_module(f"rnntext.cli.{name}").command)
    return typer.main.get_command(app)


def main() -> NoReturn:
    """Run the command line and exit the process with its status."""
    # Threads that run a model need Python's lock for a moment now and then, and would wait for it
    # 5 ms each time: 5 to 10 % of the time that many lines take.
    sys.setswitchinterval(0.001)
    try:
        status = make_app()(standalone_mode=False)
        # What Click printed, help for one, may still be on its way.
        output.write("")
    except _CommandLineError as error:
        sys.exit(_report_command_line(error))
    except RnntextError as error:
        sys.exit(_report(str(error), error.exit_status))
    except OSError as error:
        # Click writes its help itself; no command lets another one through.
        if error.errno not in _FULL:
            raise
        sys.exit(_report(f"standard output cannot be written: {error.strerror}", 1))
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _report(message: str, status: int) -> int:
    output.note(f"rnntext: {' '.join(message.splitlines())}")
    return status


def _report_command_line(error: Exception) -> int:
    # `rnntext` or `rnntext train` alone: Click's "error" is the help text.
    if type(error).__name__ == "NoArgsIsHelpError":
        output.note(str(error))
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "rnntext"
    message = getattr(error, "format_message", error.__str__)()
    return _report(f"{message.rstrip('.')}; see `{path} --help`", 2)
