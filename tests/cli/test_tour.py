"""The tour: its stops, the page that it writes, and the page in docs/."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rnntext.cli import tour
from rnntext.cli.demo import find_corpora
from rnntext.errors import RnntextError
from tests.cli.screens import pipe, written
from tests.conftest import Shell

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the tour has run, none of which does anything."""
    commands: list[str] = []

    def run(command: str, directory: Path, *, quiet: bool = False) -> None:
        assert (directory / "stories.txt").is_file()
        commands.append(command)

    def printed(command: str, directory: Path) -> str:
        return f"what {command} prints\n"

    monkeypatch.setattr(tour, "_run", run)
    monkeypatch.setattr(tour, "_printed", printed)
    return commands


def test_each_stop_has_words_and_its_command(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch)
    tour.walk(tmp_path, find_corpora(), kept=False)
    shown = written(reader)
    assert ran == [stop.command for stop in (*tour.MODELS, *tour.STOPS)]
    assert re.findall(r"^  \$ rnntext (.*)$", shown, re.MULTILINE) == ran
    for number, stop in enumerate(tour.STOPS, 1):
        assert f"\n{number}. {stop.title}\n" in shown
        assert " ".join(stop.words.split()) in " ".join(shown.split())
    assert not (tmp_path / tour.PAGE).exists()


def test_a_page_with_pictures_is_kept(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch)
    tour.walk(tmp_path, find_corpora(), kept=True)
    written(reader)
    page = (tmp_path / tour.PAGE).read_text("utf-8")
    pictures = [f"{tour.PICTURES}/{stop.picture}.svg" for stop in tour.STOPS if stop.picture]
    assert re.findall(r"^!\[.*\]\((.*)\)$", page, re.MULTILINE) == pictures
    assert len({*pictures}) == len(pictures) == len(tour.STOPS) - 1
    drawn = [command.rpartition(" -o ")[2] for command in ran if command.endswith(".svg")]
    assert drawn == pictures
    assert "what info rnn prints\n" in page


def test_the_page_in_the_documentation_is_that_of_the_tour() -> None:
    page = (DOCS / "tour.md").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    commands = [line.removeprefix("rnntext ") for block in blocks for line in block.splitlines()]
    assert commands == [stop.command for stop in (*tour.MODELS, *tour.STOPS)]
    for stop in tour.STOPS:
        assert " ".join(stop.words.split()) in " ".join(page.split())
        if stop.picture:
            content = (DOCS / tour.PICTURES / f"{stop.picture}.svg").read_text("utf-8")
            assert content.rstrip().endswith("</svg>")


def test_a_command_that_fails_ends_the_tour(tmp_path: Path) -> None:
    with pytest.raises(RnntextError, match="the tour ends here: `rnntext info absent` failed"):
        tour._run("info absent", tmp_path, quiet=True)


def test_every_command_works(
    lm: Path, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other models of the same tasks, and little text."""
    for name, model in (("rnn", lm), ("gru", lm), ("lstm", lm), ("reviews", classifier)):
        shutil.copytree(model, tmp_path / name)
    for name, lines in (("stories.txt", 120), ("reviews.csv", 90)):
        text = (find_corpora() / name).read_text("utf-8").splitlines(keepends=True)
        (tmp_path / name).write_text("".join(text[:lines]), "utf-8")
    stops = []
    for stop in tour.STOPS:
        command = stop.command
        if command.startswith("compare classify"):
            short = "--preset tiny --threads 1 --steps 5 --seeds 1"
            command = re.sub(r"--epochs \d+ .*", short, command)
        if command.startswith("compare memory"):
            command += " --steps 5 --threads 1 --distances 1,2 -q"
        stops.append(replace(stop, command=command))
    monkeypatch.setattr(tour, "STOPS", stops)
    tour.write_page(tmp_path)
    names = {path.name for path in (tmp_path / tour.PICTURES).iterdir()}
    assert names == {f"{stop.picture}.svg" for stop in stops if stop.picture}
    assert "task\tlm" in (tmp_path / tour.PAGE).read_text("utf-8")


def test_the_demo_takes_the_tour(run: Shell, tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    run("demo", "--tour", "-o", tmp_path).failed(2, "is not empty")
