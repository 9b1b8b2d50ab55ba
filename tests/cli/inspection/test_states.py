"""What `rnntext inspect states` refuses before it opens a model."""

from __future__ import annotations

import pytest

from rnntext.cli.commands import click_command
from rnntext.cli.inspection.states import command
from rnntext.errors import UsageError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--corpus none", "--corpus goes with --word or --track"),
        ("--corpus - --word x", "--corpus is a file"),
    ],
)
def test_a_corpus_that_would_not_be_read(options: str, message: str) -> None:
    words = f"-m none --text x {options}".split()
    with pytest.raises(UsageError, match=message):
        click_command(command, "states")(words, standalone_mode=False)
