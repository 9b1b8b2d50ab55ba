"""Help of the commands, and command lines that are not complete."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rnntext.cli.commands import LazyGroup, click_command
from rnntext.cli.examples import EXAMPLES, OWN_SECTIONS
from rnntext.cli.main import COMMANDS, make_app
from rnntext.training.declaration import declarations, flag_of
from rnntext.training.options import TrainingOptions
from tests.conftest import CORPORA, TINY, Outcome, Shell

# Options of `train` that not all tasks have.
OWN = {
    "lm": {"--bptt"},
    "classify": {
        *("--class-weights", "--group-column", "--label-column", "--label-separator"),
        "--multi-label",
    },
    "tag": {"--group-column", "--tag-column"},
}

# A command of each group.
GROUPS = {"train": ("lm",), "inspect": ("states",), "compare": ("lm",)}


def sections(found: Outcome) -> dict[str, set[str]]:
    """The long flags in each section of a help text."""
    flags: dict[str, set[str]] = {}
    title = ""
    for line in found.done().lines:
        if heading := re.fullmatch(r"([A-Z][A-Za-z ]+):", line):
            title = heading[1]
        elif title in ("", "Examples"):
            continue
        elif entry := re.match(r"  (-.*?)(  |$)", line):
            flags.setdefault(title, set()).update(re.findall(r"--[a-z][a-z0-9-]*", entry[1]))
    return flags


@pytest.mark.parametrize("task", OWN)
def test_train_shows_the_options_of_the_task(task: str, run: Shell) -> None:
    found = sections(run("train", task, "--help"))
    assert list(found) == [
        "Data", "Model", "Tokenizer", "Length of the run", "Optimization", "Choosing the model",
        "Files and resuming", "Output and help",
    ]  # fmt: skip
    assert {"--valid", "--text-column", "--encoding", "--no-cache"} < found["Data"]
    assert {"--preset", "--cell", "--init"} < found["Model"]
    assert {"--vocab-size", "--no-lowercase"} < found["Tokenizer"]
    assert found["Length of the run"] == {"--epochs", "--steps", "--minutes", "--dry-run"}
    assert {"--lr", "--seed", "--device", "--threads"} < found["Optimization"]
    assert found["Choosing the model"] == {"--select", "--tune"}
    assert {"--output", "--resume", "--save-every", "--config"} < found["Files and resuming"]
    assert found["Output and help"] == {"--json", "--quiet", "--help"}
    shown = set().union(*found.values())
    assert shown & set().union(*OWN.values()) == OWN[task]
    everything = declarations(TrainingOptions).items()
    assert {flag_of(name) for name, d in everything if d.help_text and task in d.tasks} < shown


def test_select_shows_the_metrics_of_the_task(run: Shell) -> None:
    for task, metrics in (
        ("lm", "perplexity|loss"),
        ("tag", "loss|accuracy|f1"),
        ("classify", "loss|accuracy|macro_f1|micro_f1"),
    ):
        words = run("train", task, "--help").done().text.split()
        assert words[words.index("--select") + 1] == metrics


def test_train_names_the_tasks(run: Shell) -> None:
    found = run("train", "--help").done().text
    listed = found.partition("Commands:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == ["lm", "classify", "tag"]
    words = " ".join(found.split())
    assert "A tagger learns from sentences whose words have tags" in words
    assert "`rnntext train lm --help` shows those of lm" in words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_quiet(name: str, run: Shell) -> None:
    words = [name, *GROUPS.get(name, ())]
    assert "--quiet" in run(*words, "--help").done().text


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ("lm|classify|tag", "train --help")),
        (["-o", "x"], ("lm|classify|tag", "train --help")),
        (["--no-such", "lm"], ("No such option: --no-such", "train --help")),
        (["-o"], ("'-o' requires an argument",)),
        (["translate"], ("lm, classify, tag", "'translate'")),
        (["--steps", "3", "translate", "x"], ("lm, classify, tag", "'translate'")),
        (["lm", "x", "--class-weights", "balanced"], ("--class-weights is for train classify",)),
        (["lm", "x", "--group-column", "x"], ("--group-column is for train classify and tag",)),
        (["tag", "x", "--multi-label"], ("--multi-label is for train classify",)),
        (["classify", "x", "--tag-column", "upos"], ("--tag-column is for train tag",)),
        (["tag", "x", "--threads", "0"], ("--threads", "from 1 to 1,024")),
    ],
)
def test_incomplete_and_wrong_lines_of_train(
    words: list[str], parts: tuple[str, ...], run: Shell
) -> None:
    assert run("train", *words).failed(2, *parts).out == b""


def test_options_of_train_may_precede_the_task(run: Shell, tmp_path: Path) -> None:
    out = tmp_path / "lm"
    data = CORPORA / "reviews.csv"
    run("train", "-q", "--seed", 3, "-o", out, *TINY, 2, "classify", data).done()
    assert run("info", out).done().pairs["task"] == "classify"


# Every command and group in this process.

Words = tuple[str, ...]
Help = Callable[..., str]


def paths(group: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """Each command and group with the words that name it."""
    yield words, group
    for name in group.commands if isinstance(group, LazyGroup) else ():
        yield from paths(group.build(name), (*words, name))


PATHS = dict(paths(click_command(make_app(), "rnntext")))
NAMES = [" ".join(words) for words in PATHS]
GROUP_PATHS = [words for words, command in PATHS.items() if isinstance(command, LazyGroup)]
each = pytest.mark.parametrize("words", PATHS, ids=NAMES)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Help:
    """What words print on a terminal of so many columns."""

    def shown(*words: str, columns: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        make_app()(list(words), prog_name="rnntext", standalone_mode=False)
        return capsys.readouterr().out

    return shown


def test_the_paths_are_those_of_all_commands() -> None:
    assert {(), ("train",), ("train", "tag"), ("inspect", "gates"), ("help",)} < {*PATHS}
    assert GROUP_PATHS == [(), ("train",), ("inspect",), ("compare",)]


@each
@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_of_help_is_wider_than_the_terminal(
    words: Words, columns: int, shown: Help
) -> None:
    lines = shown(*words, "--help", columns=columns).splitlines()
    assert max(map(len, lines)) <= min(columns, 100)
    assert lines[0].startswith(" ".join(("Usage: rnntext", *words)))
    assert not any(line.endswith("-") for line in lines)
    assert not {"\u2011", "\u00a0"} & set("".join(lines))


@pytest.mark.parametrize("words", GROUP_PATHS, ids=[" ".join(words) for words in GROUP_PATHS])
def test_a_command_has_one_line_in_the_help_of_its_group(words: Words, shown: Help) -> None:
    lines = shown(*words, "--help").splitlines()
    for name, command in PATHS[words].commands.items():
        assert any(re.fullmatch(f"  {name} +{re.escape(command.help)}", line) for line in lines)


def entries(page: str) -> dict[str, str]:
    """The second column of each option, by the first."""
    found: dict[str, str] = {}
    first = ""
    options = re.split(r"\n(?=[A-Z][a-z ]+:\n)", page)[1:-1]  # without what is above and below
    for line in "\n".join(options).splitlines():
        if entry := re.fullmatch(r"  (-.*?)(?:  +(.*))?", line):
            first = entry[1]
            found[first] = entry[2] or ""
        elif first and line.startswith("    "):
            found[first] = f"{found[first]} {line.strip()}".strip()
    return found


@each
def test_every_option_with_a_value_has_a_default(words: Words, shown: Help) -> None:
    found = entries(shown(*words, "--help"))
    texts = {flag: text for first, text in found.items() for flag in re.split("[ ,/]+", first)}
    if isinstance(PATHS[words], LazyGroup):
        return
    for param in PATHS[words].params:
        if param.param_type_name == "option" and not param.hidden:
            has_default = re.search(r"default: [^];]+[];]", texts[param.opts[-1]]) is not None
            assert has_default == (not param.is_flag or bool(param.secondary_opts)), param.opts


def test_some_defaults(shown: Help) -> None:
    """Of each kind: of the dataclass, by the task, of a flag, of the environment, of a size."""
    lm, tag = (entries(shown("train", task, "--help")) for task in ("lm", "tag"))
    assert lm["--seed N"].endswith("9,223,372,036,854,775,807; default: 0]")
    assert lm["--header / --no-header"].endswith("from 1. [default: header]")
    assert lm["--cache / --no-cache"].endswith("[default: cache]")
    assert lm["--lowercase / --no-lowercase"].endswith("[default: no-lowercase]")
    assert lm["--max-line N"].endswith("default: 64M]")
    assert lm["--bptt N"].endswith("[1 to 1,000,000; default: 35]")
    assert lm["--lr RATE"].endswith("default: 0.002]")
    assert tag["--lr RATE"].endswith("default: 0.003]")
    assert tag["--init DIR"].endswith("this model. [default: none]")
    assert lm["--threads N"].endswith("[1 to 1,024; default: the usable cores]")
    assert lm["--force"] == "Replace the model in DIR."
    evaluate = entries(shown("evaluate", "--help"))
    assert evaluate["-m, --model DIR"].endswith("[default: $RNNTEXT_MODEL]")
    assert evaluate["--encoding NAME"].endswith("[default: as in training]")
    assert evaluate["--split NAME"].endswith("[default: test]")
    assert entries(shown("predict", "--help"))["--max-line N"].endswith("default: 8M]")
    assert "wrote.\n               [required]\n" in shown("info", "--help")


def test_a_command_with_many_options_shows_them_in_panels() -> None:
    for words, command in PATHS.items():
        if not isinstance(command, LazyGroup):
            options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
            page = command.get_help(command.make_context("x", [], resilient_parsing=True))
            assert ("\nOutput and help:\n" in page) == (len(options) >= 8), words


def commands_of(line: str) -> Iterator[list[str]]:
    """The words after `rnntext` of each command in a shell's line."""
    for part in re.split(r"\n(?! )|\|", line.replace("\\\n", "")):
        words = shlex.split(part)
        if words[0] == "rnntext":
            yield words[1 : words.index(">") if ">" in words else None]


@each
def test_the_examples_can_be_typed(words: Words, shown: Help) -> None:
    """They are at the end, none is wider than 80 columns, and each is a line that the commands
    accept, one at least of this command."""
    key = " ".join(words) or "rnntext"
    _, heading, page = shown(*words, "--help").partition("\nExamples:\n")
    assert heading
    found = [line for _, example in EXAMPLES[key] for line in commands_of(example)]
    least = 2 if words[:1] == ("train",) else 1
    assert len([line for line in found if tuple(line[: len(words)]) == words]) >= least
    for remark, example in EXAMPLES[key]:
        assert f"  # {remark}\n" in page
        assert all(f"  {line}\n" in page for line in example.splitlines())
    for line in found:
        check_accepted(line)


def check_accepted(line: list[str]) -> None:
    """Raise an error of the command line if no command takes these words after `rnntext`."""
    path = next(line[:n] for n in range(len(line), -1, -1) if tuple(line[:n]) in PATHS)
    rest = line[len(path) :]
    if rest != ["--help"]:
        PATHS[tuple(path)].make_context("example", [word for word in rest if word != "<"])


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_in_the_documentation_can_be_typed(page: Path) -> None:
    """Those of its blocks of shell lines."""
    for line in documented(page):
        check_accepted(line)


def test_the_documentation_shows_every_command() -> None:
    shown = {line[0] for page in PAGES for line in documented(page)}
    assert shown >= {*COMMANDS} - {"plot"}  # which stands in a sentence


def documented(page: Path) -> list[list[str]]:
    """The words after `rnntext` of each command in the blocks of shell lines of a page."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    lines = re.sub(r"\s+#\s.*", "", "".join(blocks)).replace("\\\n", " ")
    found = re.findall(r"(?:^|\$ |bin/|\| |-m )(rnntext [a-z].*)", lines, re.M)
    return [words for line in found for words in commands_of(re.split(r" && | \| head", line)[0])]


def test_every_text_is_of_a_command() -> None:
    assert {*EXAMPLES} == {" ".join(words) or "rnntext" for words in PATHS}
    assert {*OWN_SECTIONS} < {*EXAMPLES}


@pytest.mark.parametrize(
    "words", [(), ("train",), ("train", "lm"), ("inspect", "states"), ("info",)]
)
def test_help_shows_what_the_option_shows(words: Words, shown: Help) -> None:
    for columns in (80, 120):
        assert shown("help", *words, columns=columns) == shown(*words, "--help", columns=columns)


@pytest.mark.parametrize("words", [("nonsense",), ("train", "nonsense"), ("info", "x")])
def test_help_with_what_there_is_not(words: Words, run: Shell) -> None:
    found = run("help", *words).failed(2, f"no command {' '.join(words)!r}", "`rnntext help`")
    assert found.out == b""


WITH_PACKAGED_MODELS = [
    line
    for examples in EXAMPLES.values()
    for _, example in examples
    for line in commands_of(example)
    if "demo:" in " ".join(line) and "--text" in line
]


@pytest.mark.parametrize("line", WITH_PACKAGED_MODELS, ids=" ".join)
def test_examples_with_a_packaged_model_run(line: list[str], run: Shell) -> None:
    assert run(*line).done().text


def test_every_command_that_runs_a_packaged_model_has_such_an_example() -> None:
    assert {line[0] for line in WITH_PACKAGED_MODELS} == {
        "predict", "score", "classify", "tag", "inspect",
    }  # fmt: skip
