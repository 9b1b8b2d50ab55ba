"""The trials of a search as text."""

from __future__ import annotations

import io
from dataclasses import replace

from rnntext.cli.trials import changes, decision, outcome, plain_table, rich_table
from rnntext.training.search import Choice, Trial

DEFAULTS = Trial(1, 1, 0, {}, 0.12, 7.3, 197, 5, {"log_loss": 0.41961, "accuracy": 0.81}, 872)
WIDE = Trial(
    2, 1, 1, {"lr": 0.002, "hidden": 96}, 0.12, 7.1, 1146, 6,
    {"log_loss": 0.4, "accuracy": 0.82}, 872, chosen=True,
)  # fmt: skip
FAILED = Trial(3, 1, 2, {"layers": 2}, 0.12, 1.0, error="it diverged")


def test_options_are_flags() -> None:
    assert changes({}) == "defaults"
    assert changes({"batch_size": 24, "lr": 0.002}) == "--batch-size 24 --lr 0.002"


def test_what_came_of_a_trial() -> None:
    found = outcome(WIDE, "log_loss")
    assert found == "log_loss 0.4  accuracy 0.82  (1,146 steps, 7 s)"
    assert outcome(FAILED, "log_loss") == "failed: it diverged"


def test_the_table_in_a_pipe() -> None:
    assert plain_table([DEFAULTS, WIDE, FAILED], "log_loss") == [
        "trial  minutes  options                 steps  log_loss  accuracy",
        "1      0.12     defaults                197    0.4196    0.81",
        "2      0.12     --lr 0.002 --hidden 96  1,146  0.4       0.82      chosen",
        "3      0.12     --layers 2              0                          failed",
    ]


def test_many_options_go_on_in_further_lines() -> None:
    options = {"hidden": 96, "layers": 2, "dropout": 0.123456, "lr": 0.001234, "batch_size": 24}
    shown = plain_table([DEFAULTS, replace(WIDE, options=options)], "log_loss")
    assert max(map(len, shown)) <= 80
    assert shown[2:] == [
        "2      0.12     --hidden 96 --layers 2         1,146  0.4       0.82      chosen",
        "                --dropout 0.123456",
        "                --lr 0.001234 --batch-size 24",
    ]


def test_the_row_of_the_model_that_is_saved() -> None:
    rows = [replace(DEFAULTS, kept=True), WIDE, replace(WIDE, kept=True)]
    notes = [line.split("  ")[-1] for line in plain_table(rows, "log_loss")[1:]]
    assert notes == ["kept", "chosen", "chosen, kept"]


def test_the_table_on_a_terminal() -> None:
    from rich.console import Console

    screen = io.StringIO()
    Console(file=screen, width=100).print(rich_table([DEFAULTS, WIDE, FAILED], "log_loss"))
    lines = screen.getvalue().splitlines()
    assert any("defaults" in line and "0.4196" in line for line in lines)
    assert any("--lr 0.002 --hidden 96" in line and "chosen" in line for line in lines)
    assert any("--layers 2" in line and "failed" in line for line in lines)


def test_why_options_are_chosen() -> None:
    choice = Choice("log_loss", WIDE, WIDE, DEFAULTS, 0.0142)
    assert decision(choice) == (
        "chosen: --lr 0.002 --hidden 96 (log_loss 0.4; the defaults for as long 0.4196; margin "
        "0.014)"
    )
    assert decision(replace(choice, trial=DEFAULTS)) == (
        "the defaults stay: trial 2 is better by less than chance allows (log_loss 0.4, the "
        "defaults for as long 0.4196; margin 0.014)"
    )
    best = replace(choice, trial=DEFAULTS, best=DEFAULTS)
    assert decision(best) == "the defaults are the best (log_loss 0.4196)"
    alone = replace(choice, default=None, margin=0.0)
    assert decision(alone).endswith("(log_loss 0.4; the defaults failed)")
    # The score of a perplexity is in nats: a hundredth is a percent.
    trials = [replace(t, metrics={"perplexity": n}) for t, n in ((WIDE, 88.0), (DEFAULTS, 92.0))]
    perplexity = Choice("perplexity", trials[0], trials[0], trials[1], 0.0123)
    assert "margin 1.2 %" in decision(perplexity)
