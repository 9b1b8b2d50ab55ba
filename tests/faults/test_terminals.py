"""A terminal that is closed while a run trains."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.small_runs import SMALL, write_small_data

pty = pytest.importorskip("pty")


def test_a_closed_terminal_saves_the_run(tmp_path: Path) -> None:
    write_small_data(tmp_path)
    out = tmp_path / "model"
    words = ["train", "lm", str(tmp_path / "text.txt"), "-o", str(out), "--steps", "1000000"]
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup, and so inherited
        os.execv(sys.executable, [sys.executable, "-m", "rnntext", *words, *SMALL])  # noqa: S606
    shown = b""
    while b"loss" not in shown:  # of a step
        shown += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert (out / "training-state").is_dir()
    assert not (out / ".lock").exists()
