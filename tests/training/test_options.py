"""Options of a training run: their declarations, their checks, and the way through JSON."""

from __future__ import annotations

import json
import re
from typing import Any, get_type_hints

import pytest

from rnntext.errors import UsageError
from rnntext.training.declaration import declarations, option
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions, data_fields

EVERYTHING = TrainingOptions(
    "classify",
    ("a.csv", "naïve café 你好 🙂.csv"),
    valid="v.csv",
    format="csv",
    text_column="t",
    label_column="l",
    multi_label=True,
    label_separator=";",
    group_column="g",
    encoding="latin-1",
    encoding_errors="replace",
    split="test",
    preset="tiny",
    cell="rnn",
    layers=1,
    hidden=2,
    embed=3,
    tokenizer="char",
    vocab_size=4,
    min_frequency=5,
    lowercase=False,
    minutes=0.5,
    batch_size=6,
    lr=0.25,
    dropout=0.0,
    class_weights="balanced",
    seed=8,
    device="mps",
    threads=9,
)


def test_every_option_says_whether_it_changes_the_data() -> None:
    with pytest.raises(TypeError, match="changes_data"):
        option(None, "An option.", panel="Data")  # type: ignore[call-arg]
    assert all(
        isinstance(declaration.changes_data, bool)
        for options in (TrainingOptions, ExecutionOptions)
        for declaration in declarations(options).values()
    )


def test_fields_of_the_cache_key() -> None:
    """An entry made by an earlier version is found again only with the same fields."""
    assert data_fields() == (
        "task", "format", "text_column", "label_column", "tag_column", "multi_label",
        "label_separator", "group_column", "delimiter", "header", "encoding",
        "encoding_errors", "split", "tokenizer", "vocab_size", "min_frequency",
        "lowercase", "part", "unlabelled_part",
    )  # fmt: skip


def test_flags_of_declarations() -> None:
    found = declarations(TrainingOptions)
    assert found["batch_size"].flags("batch_size") == "--batch-size"
    assert found["lowercase"].flags("lowercase") == "--lowercase/--no-lowercase"
    assert found["device"].metavar == "auto|cpu|cuda|mps"
    without_flag = {name for name, declaration in found.items() if not declaration.help_text}
    assert without_flag == {
        "task", "data", "threads", "part", "plans", "ngrams_texts", "unlabelled_part",
        "unlabelled_texts", "unanswered", "splitter_sentences",
    }  # fmt: skip
    assert all(d.panel for name, d in found.items() if name not in without_flag)


@pytest.mark.parametrize(
    "options",
    [
        TrainingOptions("lm", ("x",)),
        EVERYTHING,
        TrainingOptions("tag", ("x", "y"), tag_column="4", init="d", steps=3),
        TrainingOptions(
            "classify",
            ("x",),
            distil="d",
            unlabelled=("u", "v"),
            unlabelled_part=(7, 5),
            unlabelled_texts=0,
        ),
    ],
)
def test_options_through_json(options: TrainingOptions) -> None:
    value = json.loads(json.dumps(options.to_json()))
    assert TrainingOptions.from_json(value) == options
    lists = {"data", "unlabelled", "unlabelled_part"}
    assert all(value[name] == getattr(options, name) for name in value.keys() - lists)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("classify", {"unlabelled": ("u",)}, "--unlabelled needs --distil"),
        (
            "classify",
            {"distil": "d", "class_weights": "balanced"},
            "--class-weights and --distil exclude each other",
        ),
        ("lm", {"distil": "d"}, "--distil is for train classify"),
        ("tag", {"distil": "d"}, "--distil is for train classify"),
        ("tag", {"unlabelled": ("u",)}, "--unlabelled is for train classify"),
        ("classify", {"distil": ""}, "--distil is empty: name a directory"),
        ("classify", {"distil": "d", "unlabelled": ("u", "")}, "--unlabelled is empty"),
        ("classify", {"distil": "d", "unlabelled_part": (1, -1)}, "unlabelled_part"),
        ("classify", {"distil": "d", "unlabelled_texts": -1}, "--unlabelled-texts"),
    ],
)
def test_options_of_distillation(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingOptions(task, ("x",), **options)


def test_only_what_was_chosen_is_written() -> None:
    assert TrainingOptions("lm", ("x",)).to_json() == {"task": "lm", "data": ["x"]}
    chosen = TrainingOptions("lm", ("x",), lowercase=False, dropout=0.0, seed=0)
    assert chosen.to_json() == {"task": "lm", "data": ["x"], "lowercase": False, "dropout": 0.0}


def test_unknown_options_are_named() -> None:
    value = {"task": "lm", "data": ["x"], "speed": 3, "depth": 2}
    with pytest.raises(UsageError, match=r"^there is no option depth, speed$"):
        TrainingOptions.from_json(value)


@pytest.mark.parametrize(
    "value", [{"task": "lm"}, {"data": ["x"]}, {"task": "lm", "data": None, "seed": 1}, {}]
)
def test_a_json_that_describes_no_run(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^the file does not describe a training run"):
        TrainingOptions.from_json(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("layers", "hidden", "embed", "vocab_size", "min_frequency")),
        *((name, -2) for name in ("epochs", "steps", "batch_size", "bptt", "threads")),
        ("seed", -1),
        *((name, bad) for name in ("minutes", "lr") for bad in (0, -1.0, float("nan"))),
        ("minutes", float("inf")),
        ("epochs", 2147483648),
        ("epochs", 2.5),
        ("layers", 1000),
        ("lr", 2147483648),
        ("lr", 1e-320),
        ("minutes", 1e308),
        ("seed", 2**63),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("preset", "huge"),
        ("cell", "LSTM"),
        ("tokenizer", "words"),
        ("device", "gpu"),
        ("class_weights", "even"),
    ],
)
def test_an_invalid_value_is_refused_with_its_flag(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        TrainingOptions("lm", ("x",), **{name: value})
    message = str(caught.value)
    assert message.startswith("--" + name.replace("_", "-") + " ")
    assert str(value) in message


@pytest.mark.parametrize("edge", [{"dropout": 0}, {"dropout": 0.99}, {"seed": 0}, {"lr": 1e-9}])
def test_values_at_the_edge_of_their_range(edge: dict[str, Any]) -> None:
    options = TrainingOptions("lm", ("x",), **edge)
    assert all(getattr(options, name) == value for name, value in edge.items())


@pytest.mark.parametrize("name", ["seed", "lr"])
def test_none_is_valid_only_as_a_default(name: str) -> None:
    value = {"task": "lm", "data": ["x"], name: None}
    if name == "lr":
        assert TrainingOptions.from_json(value) == TrainingOptions("lm", ("x",))
        return
    with pytest.raises(UsageError, match="does not describe a training run"):
        TrainingOptions.from_json(value)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 1e308])
def test_an_invalid_interval_of_checkpoints(seconds: float) -> None:
    message = re.escape(f"--save-every must be from 0 to 1,000,000, not {seconds}")
    with pytest.raises(UsageError, match=f"^{message}$"):
        ExecutionOptions(save_every=seconds)
    assert ExecutionOptions(save_every=0).save_every == 0


def test_an_empty_path_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"^DATA is empty: name a file$"):
        TrainingOptions("lm", ("x", ""))
    with pytest.raises(UsageError, match=r"^--valid is empty: name a file$"):
        TrainingOptions("lm", ("x",), valid="")
    with pytest.raises(UsageError, match=r"^--init is empty: name a directory$"):
        TrainingOptions("lm", ("x",), init="")
    with pytest.raises(UsageError, match=r"^--tensorboard is empty: name a directory$"):
        ExecutionOptions(tensorboard="")  # type: ignore[arg-type]


def test_every_number_has_a_range() -> None:
    for options in (TrainingOptions, ExecutionOptions):
        hints = get_type_hints(options)
        for name, declaration in declarations(options).items():
            if hints[name] in (int, float, int | None, float | None):
                assert declaration.within is not None, name


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"part": (-1, 0, 0)},
            "part[0] must be a whole number from 0 to 1,099,511,627,776, not -1",
        ),
        (
            {"part": (5, 2**63, 0)},
            f"part[1] must be a whole number from 0 to 1,099,511,627,776, not {2**63}",
        ),
        (
            {"part": (5, 0, -3)},
            "part[2] must be a whole number from 0 to 1,099,511,627,776, not -3",
        ),
        (
            {"plans": ((-1, 5),)},
            "plans[0][0] must be a whole number from 0 to 1,000,000,000, not -1",
        ),
        ({"plans": ((0, 0),)}, "plans[0][1] must be a whole number from 1 to 1,000,000,000, not 0"),
        (
            {"plans": ((0, 9), (2, 10**12))},
            f"plans[1][1] must be a whole number from 1 to 1,000,000,000, not {10**12}",
        ),
        # The decay of the learning rate would divide by the steps that are left.
        ({"plans": ((0, 9), (5, 5))}, "plans[1] must have steps left, not 5 of 5 taken"),
        (
            {"plans": ((0, 9), (9, 20))},
            "plans[1] must be made during the plan before it, not after 9",
        ),
        (
            {"plans": ((0, 9), (4, 20), (4, 7))},
            "plans[2] must be made during the plan before it, not after 4",
        ),
    ],
)
def test_a_part_and_plans_that_no_run_has(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        TrainingOptions("lm", ("x",), **changed)


def test_a_part_and_plans_of_runs() -> None:
    for changed in (
        {"part": (0, 0, 0)},
        {"part": (2**40, 3, 1)},
        {"plans": ((0, 1),)},
        {"plans": ((0, 9), (1, 2))},
        {"plans": ((3, 9), (8, 40), (9, 10))},
    ):
        options = TrainingOptions("lm", ("x",), **changed)  # type: ignore[arg-type]
        assert TrainingOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_resume_and_force_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"^--resume and --force exclude each other$"):
        ExecutionOptions(resume=True, force=True)


@pytest.mark.parametrize("budget", ["epochs", "steps", "minutes"])
def test_a_search_has_the_only_budget(budget: str) -> None:
    options = TrainingOptions("lm", ("x",), **{budget: 1})  # type: ignore[arg-type]
    ExecutionOptions().check_with(options)
    ExecutionOptions(tune=1.0).check_with(TrainingOptions("lm", ("x",)))
    with pytest.raises(UsageError, match=rf"^--tune and --{budget} exclude each other: give one"):
        ExecutionOptions(tune=1.0).check_with(options)


def test_a_search_has_no_teacher() -> None:
    options = TrainingOptions("classify", ("x",), distil="d")
    ExecutionOptions().check_with(options)
    with pytest.raises(UsageError, match=r"^--tune and --distil exclude each other: search"):
        ExecutionOptions(tune=1.0).check_with(options)


def test_an_unknown_task() -> None:
    with pytest.raises(UsageError, match="task is one of lm, classify, tag, not 'talk'"):
        TrainingOptions("talk", ("x",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 1, "steps": 2}, "--epochs and --steps exclude each other: give one of them"),
        ({"steps": 2, "minutes": 3}, "--steps and --minutes exclude each other: give one of them"),
        (
            {"epochs": 1, "steps": 2, "minutes": 3},
            "--epochs and --steps and --minutes exclude each other: give one of them",
        ),
    ],
)
def test_budgets_exclude_each_other(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainingOptions("lm", ("x",), **given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value", "task"),
    [
        ("bptt", 5, "lm"),
        ("direction", "both", "lm"),
        ("class_weights", "balanced", "classify"),
        ("multi_label", True, "classify"),
        ("tag_column", "upos", "tag"),
    ],
)
def test_flags_of_one_task(name: str, value: Any, task: str) -> None:
    assert getattr(TrainingOptions(task, ("x",), **{name: value}), name) == value
    for other in {"lm", "classify", "tag"} - {task}:
        message = f"--{name.replace('_', '-')} is for train {task}"
        with pytest.raises(UsageError, match=message):
            TrainingOptions(other, ("x",), **{name: value})


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("lm", {"loss": "perplexity", "perplexity": "perplexity"}),
        (
            "classify",
            {"loss": "log_loss", "log_loss": "log_loss"}
            | {name: name for name in ("accuracy", "macro_f1", "micro_f1")},
        ),
        ("tag", {"loss": "tag_log_loss", "accuracy": "accuracy", "f1": "f1"}),
    ],
)
def test_the_metric_that_selects(task: str, metrics: dict[str, str]) -> None:
    assert TrainingOptions(task, ("x",)).selected_metric is None
    for name in ("loss", "log_loss", "accuracy", "macro_f1", "micro_f1", "f1", "perplexity", ""):
        several = name == "micro_f1" and task == "classify"
        if name in metrics:
            options = TrainingOptions(task, ("x",), select=name, multi_label=several)
            assert options.selected_metric == metrics[name]
        else:
            with pytest.raises(UsageError, match=rf"^--select is one of .*, not '{name}'$"):
                TrainingOptions(task, ("x",), select=name)
    with pytest.raises(UsageError, match=r"^--select micro_f1 is for --multi-label"):
        TrainingOptions("classify", ("x",), select="micro_f1")


@pytest.mark.parametrize(
    ("task", "names", "one"),
    [("classify", ("loss", "log_loss"), "loss"), ("lm", ("perplexity", "loss"), "perplexity")],
)
def test_names_of_one_metric_are_one_option(task: str, names: tuple[str, ...], one: str) -> None:
    """A run that began with one of them goes on with another."""
    for name in names:
        made = TrainingOptions(task, ("x",), select=name)
        read = TrainingOptions.from_json({"task": task, "data": ["x"], "select": name})
        assert made.to_json()["select"] == one
        assert made == read == TrainingOptions(task, ("x",)).merged({"select": name})


def test_groups_are_for_examples() -> None:
    for task in ("classify", "tag"):
        assert TrainingOptions(task, ("x",), group_column="film").group_column == "film"
    with pytest.raises(UsageError, match=r"^--group-column is for train classify and tag$"):
        TrainingOptions("lm", ("x",), group_column="film")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokenizer", "byte"),
        ("vocab_size", 300),
        ("min_frequency", 1),
        ("lowercase", True),
        ("lowercase", False),
        ("cell", "gru"),
        ("layers", 1),
        ("hidden", 8),
        ("embed", 8),
        ("preset", "tiny"),
    ],
)
def test_what_the_init_model_determines_is_refused(name: str, value: Any) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(UsageError, match=f"^{flag} comes with --init's model: leave it out$"):
        TrainingOptions("classify", ("x",), init="model", **{name: value})
    chosen = TrainingOptions("classify", ("x",), init="model", lr=0.1, batch_size=4, dropout=0.2)
    assert chosen.init == "model"


def test_merging_validates_anew() -> None:
    options = TrainingOptions("lm", ("x",), steps=5)
    assert options.merged({"seed": 3, "steps": None, "epochs": 2}) == TrainingOptions(
        "lm", ("x",), seed=3, epochs=2
    )
    with pytest.raises(UsageError, match="exclude each other"):
        options.merged({"epochs": 2})


@pytest.mark.parametrize("task", ["lm", "tag"])
def test_options_that_a_task_ignores_are_accepted(task: str) -> None:
    """Scripts and saved runs may give them to every task."""
    assert TrainingOptions(task, ("a",), label_column="gold").label_column == "gold"
