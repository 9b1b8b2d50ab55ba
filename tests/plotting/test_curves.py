"""Reading the logs of runs, and which of their values a chart shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnntext.errors import CheckpointError, RnntextError, UsageError
from rnntext.plotting.curves import (
    Chart,
    Row,
    Run,
    check_metric,
    format_value,
    make_chart,
    moving_average,
    read_runs,
    replace_unprintable,
)

STEP = {
    "event": "step",
    "step": 10,
    "epoch": 0,
    "loss": 6.91,
    "learning_rate": 3e-7,
    "gradient_norm": 0.42,
    "seconds": 1.2,
}
EVALUATION = {
    "event": "evaluation",
    "step": 20,
    "epoch": 1,
    "loss": 6.1,
    "seconds": 12.5,
    "best": True,
    "perplexity": 310.2,
    "tokens": 76,
}

Make = Callable[..., Path]


def log(*lines: Mapping[str, Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def write_run(directory: Path, task: str, content: bytes) -> Path:
    """A directory with only a log and a minimal `config.json`."""
    directory.mkdir(parents=True)
    config = {"format_version": 1, "files": {}, "model": {"task": task}}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "metrics.jsonl").write_bytes(content)
    return directory


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(
        *lines: Mapping[str, Any], task: str = "lm", name: str = "run", end: bytes = b""
    ) -> Path:
        return write_run(tmp_path / name, task, log(*lines) + end)

    return make


def without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def test_steps_and_evaluations(make: Make) -> None:
    directory = make(STEP, EVALUATION)
    (run,) = read_runs([directory])
    step = {"loss": 6.91, "learning_rate": 3e-7, "gradient_norm": 0.42}
    evaluation = {"loss": 6.1, "perplexity": 310.2, "tokens": 76}
    assert run == Run(
        str(directory),
        "lm",
        (
            Row("step", 10, 0, 1.2, False, step),
            Row("evaluation", 20, 1, 12.5, True, evaluation),
        ),
    )
    assert run.names == ("loss", "learning_rate", "gradient_norm", "perplexity", "tokens")
    # The loss is taken from steps if steps are logged.
    assert [row.step for row in run.rows_of("loss")] == [10]
    assert [row.step for row in run.rows_of("tokens")] == [20]


def test_logs_of_the_first_versions(make: Make) -> None:
    old = without(EVALUATION, "event")
    (run,) = read_runs([make(old, {**old, "step": 40, "best": False})])
    assert [(row.event, row.step, row.best) for row in run.rows] == [
        ("evaluation", 20, True),
        ("evaluation", 40, False),
    ]
    assert [row.values["loss"] for row in run.rows_of("loss")] == [6.1, 6.1]


@pytest.mark.parametrize(
    "end", [b'{"event": "step", "st', b"{", b"1", b"\x00\x00", '{"é'.encode()[:-1]]
)
def test_an_incomplete_last_line_is_ignored(end: bytes, make: Make) -> None:
    (run,) = read_runs([make(STEP, EVALUATION, end=end)])
    assert [row.step for row in run.rows] == [10, 20]


def test_a_whole_last_line_without_its_end(make: Make) -> None:
    (run,) = read_runs([make(STEP, end=json.dumps(EVALUATION).encode())])
    assert [row.step for row in run.rows] == [10, 20]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"event": "st', "not a JSON object"),
        (b"", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (json.dumps(without(STEP, "step")).encode(), "it has no 'step'"),
        (json.dumps(without(EVALUATION, "seconds")).encode(), "it has no 'seconds'"),
        (json.dumps({**STEP, "step": "10"}).encode(), "its step, epoch or seconds is not a"),
        (json.dumps({**STEP, "seconds": math.nan}).encode(), "its step, epoch or seconds"),
        (json.dumps({**STEP, "loss": 10**400}).encode(), "too large"),
    ],
)
def test_a_damaged_line(line: bytes, why: str, make: Make) -> None:
    directory = make(STEP, end=line + b"\n" + log(EVALUATION))
    with pytest.raises(CheckpointError) as caught:
        read_runs([directory])
    message = str(caught.value)
    assert message.startswith(f"{directory / 'metrics.jsonl'}, line 2 is damaged: ")
    assert why in message
    assert "\n" not in message


def test_values_that_are_not_finite_numbers_are_left_out(make: Make) -> None:
    odd = {"loss": math.nan, "gradient_norm": math.inf, "perplexity": None, "a": True, "b": "1"}
    (run,) = read_runs([make({**STEP, **odd})])
    assert run.rows[0].values == {"learning_rate": 3e-7}


def test_events_of_later_versions_are_ignored(make: Make) -> None:
    (run,) = read_runs([make({"event": "resumed"}, STEP)])
    assert [row.step for row in run.rows] == [10]


def test_directories_without_a_run(make: Make, tmp_path: Path) -> None:
    def fails(directory: Path, message: str, kind: type[RnntextError] = CheckpointError) -> None:
        with pytest.raises(kind) as caught:
            read_runs([directory])
        assert message in str(caught.value)

    fails(tmp_path / "none", "none does not exist")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "it is not an rnntext checkpoint")
    fails(make(name="a"), "a/metrics.jsonl is empty: the run has logged nothing yet")
    fails(make(name="b", end=b'{"ev'), "b/metrics.jsonl is empty")
    fails(make(STEP, name="c", task="other"), "c/config.json does not say which task")
    missing = make(STEP, name="d")
    (missing / "metrics.jsonl").unlink()
    fails(missing, "d/metrics.jsonl is not there: a slim model has no log of its training")
    newer = make(STEP, name="e")
    (newer / "config.json").write_text('{"format_version": 99, "files": {}}')
    fails(newer, "e/config.json has format version 99")


def test_runs_of_one_task(make: Make) -> None:
    one, two = make(STEP, name="one"), make(STEP, name="two")
    assert [run.name for run in read_runs([two, one, two])] == [str(two), str(one)]
    other = make(STEP, name="other", task="tag")
    with pytest.raises(UsageError) as caught:
        read_runs([one, other, two])
    assert f"(language model: {one}, {two}; tagger: {other})" in str(caught.value)


def test_a_run_as_it_is_saved(lm: Path, classifier: Path, tagger: Path) -> None:
    for directory, metric in ((lm, "perplexity"), (classifier, "accuracy"), (tagger, "accuracy")):
        runs = read_runs([directory])
        assert runs[0].rows[-1].step == 20
        assert [panel.name for panel in make_chart(runs).panels] == ["loss", metric]


def chart_of(*rows: Row, task: str = "lm", metric: str | None = None, axis: str = "steps") -> Chart:
    return make_chart([Run("a", task, rows)], metric, axis)


def evaluation(step: int, best: bool = False, **values: float) -> Row:
    return Row("evaluation", step, 0, step / 8, best, values)


def step(step: int, **values: float) -> Row:
    return Row("step", step, 0, step / 8, False, values)


def test_the_loss_and_the_metric() -> None:
    rows = [
        step(10, loss=6.0),
        evaluation(15, True, loss=5.5, perplexity=200.0),
        step(20, loss=5.0),
        evaluation(25, True, loss=4.5, perplexity=100.25),
        evaluation(35, False, loss=4.0, perplexity=150.0),
    ]
    chart = chart_of(*rows)
    assert chart.legend == ("a (best: perplexity 100.2 at step 25)",)
    loss, perplexity = chart.panels
    assert (loss.name, loss.title, loss.is_log) == ("loss", "loss", False)
    assert (perplexity.name, perplexity.is_log) == ("perplexity", True)
    (curve,) = loss.curves
    assert (curve.x.tolist(), curve.y.tolist(), curve.best) == ([10, 20], [6.0, 5.0], None)
    (curve,) = perplexity.curves
    assert (curve.x.tolist(), curve.y.tolist(), curve.best) == ([15, 25, 35], [200, 100.25, 150], 1)
    over_time = chart_of(*rows, axis="seconds")
    assert over_time.legend == ("a (best: perplexity 100.2 after 3 s)",)
    assert over_time.panels[1].curves[0].x.tolist() == [15 / 8, 25 / 8, 35 / 8]


def test_a_loss_of_evaluations_has_no_best() -> None:
    loss, _ = chart_of(evaluation(1, True, loss=5.0, perplexity=9.0)).panels
    assert loss.curves[0].best is None


@pytest.mark.parametrize(
    ("task", "logged", "metric"),
    [
        ("lm", ["tokens", "perplexity", "bits_per_byte"], "perplexity"),
        ("classify", ["macro_f1", "accuracy"], "accuracy"),
        ("classify", ["accuracy", "macro_f1", "micro_f1"], "micro_f1"),
        ("tag", ["accuracy", "precision", "f1"], "f1"),
        ("tag", ["accuracy"], "accuracy"),
    ],
)
def test_the_main_metric(task: str, logged: list[str], metric: str) -> None:
    chart = chart_of(evaluation(1, **dict.fromkeys(logged, 0.5)), task=task)
    assert [panel.name for panel in chart.panels] == [metric]


def test_a_metric_that_all_runs_have() -> None:
    several = Run("a", "classify", (evaluation(1, accuracy=0.5, micro_f1=0.6),))
    single = Run("b", "classify", (evaluation(1, accuracy=0.7),))
    young = Run("c", "classify", (step(1, loss=2.0),))
    assert [panel.name for panel in make_chart([several, young]).panels] == ["loss", "micro_f1"]
    chart = make_chart([young, several, single])
    assert [panel.name for panel in chart.panels] == ["loss", "accuracy"]
    assert [[curve.run for curve in panel.curves] for panel in chart.panels] == [[0], [1, 2]]


def test_another_metric() -> None:
    rows = (step(1, loss=2.0, rate=1.0), evaluation(2, True, perplexity=9.0, rate=3.0))
    _, rate = chart_of(*rows, metric="rate").panels
    assert rate.curves[0].y.tolist() == [1.0]
    assert [panel.name for panel in chart_of(*rows, metric="loss").panels] == ["loss"]
    runs = [Run("a", "lm", rows), Run("b", "lm", (step(1, other=1.0),))]
    check_metric(runs, "other")
    with pytest.raises(UsageError, match="one of loss, rate, perplexity, other"):
        check_metric(runs, "x")
    with pytest.raises(CheckpointError, match="b: neither loss nor perplexity"):
        make_chart(runs[1:])


def test_many_points_are_smoothed() -> None:
    noise = np.random.default_rng(0).normal(5.0, 1.0, 500)
    means = moving_average(noise)
    for i in (0, 3, 250, 498, 499):
        assert means[i] == pytest.approx(noise[max(i - 5, 0) : i + 6].mean())
    assert moving_average(noise[:99]).tolist() == noise[:99].tolist()
    steps = [step(n, loss=loss) for n, loss in enumerate(noise)]
    (panel,) = chart_of(*steps).panels
    assert panel.title == "loss, smoothed"
    assert panel.curves[0].y.tolist() == noise.tolist()
    assert panel.curves[0].trend.tolist() == means.tolist()
    # Evaluations are not smoothed, so that the best one lies on its curve.
    (panel,) = chart_of(*(evaluation(n, perplexity=p) for n, p in enumerate(noise))).panels
    assert panel.title == "perplexity"


def test_a_logarithm_needs_positive_values() -> None:
    assert not chart_of(evaluation(1, perplexity=0.0)).panels[0].is_log


def test_numbers_and_names_as_they_are_read() -> None:
    values = (104.7123, 12345.6, 0.93712, 0.00001)
    assert list(map(format_value, values)) == ["104.7", "12346", "0.9371", "1e-05"]
    assert (
        replace_unprintable("naïve café 你好 🙂\x1b[1m\n\udcff")
        == "naïve café 你好 🙂\ufffd[1m\ufffd\ufffd"
    )
