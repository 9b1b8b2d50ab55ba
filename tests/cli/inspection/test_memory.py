"""`inspect memory` as a shell uses it."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import CORPORA, Shell

STORIES = CORPORA / "stories.txt"
INSPECT = ("inspect", "memory")


def test_several_models_in_one_command(
    run: Shell, lm: Path, classifier: Path, tagger: Path
) -> None:
    models = [word for name in (lm, classifier, tagger) for word in ("-m", name)]
    found = run(*INSPECT, *models, "--distance", 3, "--json", STORIES).done()
    assert [(each["model"], each["distance"]) for each in found.objects] == [
        (str(name), distance) for name in (lm, classifier, tagger) for distance in range(4)
    ]
    assert all(each["state"] == 1 for each in found.objects if each["distance"] == 0)
    assert [each["prediction"] is None for each in found.objects[::4]] == [False, True, True]
    rows = run(*INSPECT, *models, "--distance", 3, STORIES).done().lines
    assert [line.split("\t")[:2] for line in rows] == [
        [each["model"], str(each["distance"])] for each in found.objects
    ]
    assert {line.count("\t") for line in rows} == {3}


def test_gradients_seeds_and_standard_input(run: Shell, lm: Path) -> None:
    text = STORIES.read_bytes()
    args = (*INSPECT, "-m", lm, "--gradient", "--distance", 20)
    found = run(*args, stdin=text).done()
    gradients = [float(line.split("\t")[4]) for line in found.lines]
    assert gradients[0] == 1
    assert all(value > 0 for value in gradients)
    assert run(*args, STORIES).done().out == found.out
    assert run(*args, "--seed", 2, STORIES).done().out != found.out


def test_the_model_of_the_environment(run: Shell, lm: Path) -> None:
    env = {"RNNTEXT_MODEL": str(lm)}
    found = run(*INSPECT, "--distance", 1, STORIES, env=env).done()
    assert [line.split("\t")[0] for line in found.lines] == [str(lm)] * 2


def test_only_the_beginning_of_a_corpus_is_read(run: Shell, lm: Path, tmp_path: Path) -> None:
    """What comes after half a million characters changes nothing."""
    long = tmp_path / "long.txt"
    found = []
    for end in ("the end\n", "another end, which is longer\n" * 100):
        long.write_text(STORIES.read_text("utf-8") * 6 + end, "utf-8")
        found.append(run(*INSPECT, "-m", lm, "--distance", 2, long).done().out)
    assert found[0] == found[1]


def test_one_line_says_what_is_wrong(run: Shell, lm: Path, tmp_path: Path) -> None:
    run(*INSPECT, "-m", lm, stdin=b"a few words\n").failed(1, "too little text", "give more")
    for nothing in (b"", b"\n \n"):
        found = run(*INSPECT, "-m", lm, stdin=nothing)
        found.failed(1, "the input has no text: give at least one line")
    run(*INSPECT, STORIES).failed(2, "use -m DIR, or set RNNTEXT_MODEL")
    run(*INSPECT, "-m", lm, "-m", tmp_path, STORIES).failed(1, str(tmp_path))
    run(*INSPECT, "-m", lm, tmp_path / "none").failed(1, "none")
    run(*INSPECT, "-m", lm, "--distance", 0, STORIES).failed(2, "--distance", "1 to 1,000")
    run(*INSPECT, "-m", lm, "--distance", 900, stdin=b"a few words\n" * 20).failed(
        1, "distance of 900", "smaller --distance"
    )


def test_gradients_need_pytorch(run: Shell, lm: Path) -> None:
    """And nothing else of the view does."""
    missing = "import sys; sys.modules['torch'] = None"
    args = (*INSPECT, "-m", lm, "--distance", 2, STORIES)
    run(*args, before=missing).done()
    run(*args, "--gradient", before=missing).failed(2, "--gradient needs PyTorch", "rnntext[train]")
