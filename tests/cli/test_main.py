"""The command line as a whole: its commands, and the exit status and message of each error."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator

import pytest
import typer

import rnntext.cli.main as module
from rnntext import __version__
from rnntext.cli.main import COMMANDS, main, make_app
from rnntext.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def _switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def status_of(*words: str) -> object:
    """Run the command line and return the exit status of the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rnntext", *words])
        patch.setattr(sys.modules["__main__"], "__package__", None)  # else it is named pytest
        with pytest.raises(SystemExit) as caught:
            main()
    return caught.value.code


def status_after(result: BaseException | int | None) -> object:
    """The exit status if the command ends like this."""

    def command(*, standalone_mode: bool) -> int | None:
        assert not standalone_mode
        if isinstance(result, BaseException):
            raise result
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make_app", lambda: command)
        return status_of()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--version") == 0
    assert capsys.readouterr() == (f"rnntext {__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_the_commands_in_order(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(flag) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Small recurrent language models" in out
    listed = out.partition("First steps:\n")[2].partition("Options:\n")[0]
    names = re.findall(r"^  ([a-z]+)  ", listed, re.MULTILINE)
    assert names == ["demo", "train", "help", *list(COMMANDS)[2:]]


def test_without_a_command_the_help_is_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_of() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: rnntext [OPTIONS] COMMAND [ARGS]...")


def test_completion_may_begin_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    typer.main.get_command(make_app()).make_context("rnntext", [], resilient_parsing=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: rnntext {name} ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "No such command 'nothing'; see `rnntext --help`"),
        (("classify", "--xyz"), "No such option: --xyz; see `rnntext classify --help`"),
        (("info",), "Missing argument 'DIR'; see `rnntext info --help`"),
    ],
)
def test_a_wrong_command_line(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*words) == 2
    assert capsys.readouterr() == ("", f"rnntext: {message}\n")


def test_an_error_that_belongs_to_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_after(typer.BadParameter("it is wrong.")) == 2
    assert capsys.readouterr().err == "rnntext: Invalid value: it is wrong; see `rnntext --help`\n"


@pytest.mark.parametrize(("kind", "status"), [(DataError, 1), (UsageError, 2)])
def test_an_error_of_the_user_is_one_line(
    kind: type[DataError | UsageError], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_after(kind("a file:\nline 3.")) == status
    assert capsys.readouterr() == ("", "rnntext: a file: line 3.\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_disk(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_after(OSError(number, "It is full")) == 1
    message = "rnntext: standard output cannot be written: It is full\n"
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_after(OSError(number, "Too many open files")) == 1
    message = "rnntext: Too many open files: raise the limit (`ulimit -n`)\n"
    assert capsys.readouterr() == ("", message)


def test_memory_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_after(MemoryError()) == 1
    message = "rnntext: there is not enough memory: end other programs, or raise its limit\n"
    assert capsys.readouterr() == ("", message)


def import_error(name: str | None, *reasons: Exception, explicit: bool = True) -> ImportError:
    """The error of a library, raised from each of the reasons in turn."""
    error = ImportError("it cannot be imported", name=name)
    raised: BaseException = error
    for reason in reasons:
        if explicit:
            raised.__cause__ = reason
        else:
            raised.__context__ = reason
        raised = reason
    return error


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize(
    ("name", "reasons", "described"),
    [
        ("numpy", (), "numpy cannot be loaded (it cannot be imported)"),
        (None, (), "a library cannot be loaded (it cannot be imported)"),
        (
            "numpy",
            (ImportError("inner"), OSError("\n failed to map\nmore"), ValueError("x")),
            "numpy cannot be loaded (failed to map)",
        ),
        ("numpy", (ImportError(""),), "numpy cannot be loaded (no reason given)"),
    ],
)
def test_a_library_that_cannot_be_loaded(
    name: str | None,
    reasons: tuple[Exception, ...],
    described: str,
    explicit: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_after(import_error(name, *reasons, explicit=explicit)) == 1
    advice = "raise the limit that it met (`ulimit -a`), or install it again"
    assert capsys.readouterr() == ("", f"rnntext: {described}: {advice}\n")


BUGS = [
    FileNotFoundError(errno.ENOENT, "missing"),
    ValueError("bug"),
    ImportError("a bug", name="rnntext.cli"),
]


@pytest.mark.parametrize("error", BUGS, ids=repr)
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(*, standalone_mode: bool) -> None:
        raise error

    monkeypatch.setattr(module, "make_app", lambda: command)
    with pytest.raises(type(error)) as caught:
        main()
    assert caught.value is error


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (None, 0),
        (0, 0),
        (5, 5),
        (typer.Exit(3), 3),
        (typer.Abort(), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_statuses(
    result: BaseException | int | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_after(result) == status
    assert capsys.readouterr() == ("", "")


def test_what_was_printed_is_flushed_while_an_error_can_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert status_of("--version") == 1
    message = "rnntext: standard output cannot be written: No space left on device\n"
    assert capsys.readouterr().err == message


def test_threads_get_the_interpreter_lock_within_a_millisecond() -> None:
    sys.setswitchinterval(0.005)
    status_of("--version")
    assert sys.getswitchinterval() == pytest.approx(0.001)
