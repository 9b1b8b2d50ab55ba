"""The number of threads of the views of `inspect`."""

from __future__ import annotations

import os

import pytest

from rnntext.cli.commands import click_command
from rnntext.cli.inspect import command


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_views_use_one_thread_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str | None,
    used: str,
) -> None:
    """Two threads on a busy machine took ten times as long for the small matrices of a step."""
    monkeypatch.setenv("OMP_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    click_command(command, "inspect").main(["gates", "--help"], "inspect", standalone_mode=False)
    assert os.environ["OMP_NUM_THREADS"] == used
    assert "Usage: inspect gates" in capsys.readouterr().out
