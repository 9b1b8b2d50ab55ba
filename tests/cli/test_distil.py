"""Distillation as whole commands: a student, its repetition and resumption, and its refusals."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.small_runs import KILL, Commands, at_save, saved_step, weights, write_small_data
from tests.conftest import Outcome, Shell

TEXTS = [f"A story of {word} and naïve 你好 {n}." for n in range(20) for word in ("a", "no", "so")]
FILES = ("model.safetensors", "model.onnx", "ngrams.safetensors", "tokenizer.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder)
    (folder / "u.txt").write_bytes("\r\n\r\n".join(TEXTS).encode())
    return folder


@pytest.fixture(scope="module")
def teacher(folder: Path, run: Shell) -> Path:
    out = folder / "sage"
    succeeded(run(*Commands(folder)("classify", out, "--steps", 4), timeout=300))
    return out


def succeeded(found: Outcome) -> Outcome:
    assert found.status == 0, found.err
    return found


def config(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "config.json").read_text("utf-8"))
    return content


def same_bytes(one: Path, two: Path) -> None:
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def student(folder: Path, teacher: Path, out: Path, *more: object) -> list[str]:
    given = ("--distil", teacher, "--unlabelled", folder / "u.txt", "--epochs", 1)
    return Commands(folder)("classify", out, *given, *more)


def test_a_student_is_repeated_and_resumed_to_the_same_bytes(
    folder: Path, teacher: Path, run: Shell, tmp_path: Path
) -> None:
    whole, again, broken = tmp_path / "whole", tmp_path / "again", tmp_path / "broken"
    found = succeeded(run(*student(folder, teacher, whole), timeout=300))
    data = config(whole)["data"]
    assert data["unlabelled"] == 60
    everything = data["train"] + data["valid"] + 60
    assert f"{data['train']} documents and 60 unlabelled to train on" in found.told
    # The data were held out, and so the n-grams learn from validation texts too.
    assert f"the teacher sage answered {everything} texts" in found.told
    assert found.pairs["ngrams_texts"] == str(data["train"] + 60)
    assert config(whole)["results"]["learned_from_valid"] is True
    # So had those of the teacher.
    assert config(whole)["training"]["distilled"]["seen_valid"] is True
    assert "the teacher's n-grams were learned from the validation texts too" in found.told
    facts = run("info", whole).done().pairs
    assert (facts["distilled_from"], facts["unlabelled"]) == ("sage", "60")
    card = (whole / "README.md").read_text("utf-8")
    assert "- distilled from `sage`, also on 60 unlabelled texts" in card
    words = ["train", "classify", "--config", whole / "config.json", "-o", again]
    succeeded(run(*words, timeout=300))
    same_bytes(whole, again)
    steps = int(found.pairs["steps"])
    words = student(folder, teacher, broken, "--save-every", 0)
    killed = run(*words, before=at_save(steps // 2, KILL), timeout=300)
    assert killed.status == -signal.SIGKILL, killed.err
    assert 0 < saved_step(broken) < steps
    resumed = succeeded(run("train", "classify", "-o", broken, "--resume", timeout=300))
    assert f"the teacher sage answered {everything} texts" in resumed.told
    same_bytes(whole, broken)


def test_a_part_of_the_texts_is_learned_from(
    folder: Path, teacher: Path, run: Shell, tmp_path: Path
) -> None:
    """As where a time budget allows for no more; a run that goes on takes the same ones."""
    first, part, broken = tmp_path / "first", tmp_path / "part", tmp_path / "broken"
    succeeded(run(*student(folder, teacher, first), timeout=300))
    content = config(first)
    content["training"]["options"] |= {"unlabelled_texts": 20, "unanswered": 7}
    (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
    repeat = ["train", "classify", "--config", tmp_path / "config.json"]
    found = succeeded(run(*repeat, "-o", part, timeout=300))
    assert "a random 20 of the 60 unlabelled texts, " in found.told
    assert "as many as in the run that is repeated" in found.told
    train, valid = (config(part)["data"][name] for name in ("train", "valid"))
    gold = train + valid
    assert f"a random {gold - 7} of the {gold} texts with labels, and the others" in found.told
    assert f"the teacher sage answered {gold - 7 + 20} texts" in found.told
    distilled = config(part)["training"]["distilled"]
    assert (distilled["unlabelled"], distilled["unanswered"]) == (20, 7)
    assert config(part)["data"]["unlabelled"] == 60
    assert found.pairs["ngrams_texts"] == str(content["data"]["train"] + 20)
    assert weights(part) != weights(first)
    words = [*repeat, "-o", broken, "--save-every", 0]
    killed = run(*words, before=at_save(3, KILL), timeout=300)
    assert killed.status == -signal.SIGKILL, killed.err
    succeeded(run("train", "classify", "-o", broken, "--resume", timeout=300))
    same_bytes(part, broken)


def test_several_labels_are_distilled(folder: Path, run: Shell, tmp_path: Path) -> None:
    rows = [{"text": f"text {n} of naïve {n % 7}", "label": ["a", "b"][: n % 3]} for n in range(60)]
    data = tmp_path / "several.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    start = ("train", "classify", data, "--multi-label", "--preset", "tiny", "--threads", 1)
    succeeded(run(*start, "-o", tmp_path / "sage", "--steps", 4, timeout=300))
    more = ("--distil", tmp_path / "sage", "--unlabelled", folder / "u.txt", "--steps", 6)
    found = succeeded(run(*start, "-o", tmp_path / "m", *more, timeout=300))
    assert "and 60 unlabelled to train on" in found.told
    assert 0 <= float(found.pairs["micro_f1"]) <= 1


def test_answers_and_unlabelled_texts_change_what_is_learned(
    folder: Path, teacher: Path, run: Shell, tmp_path: Path
) -> None:
    alone, taught = tmp_path / "alone", tmp_path / "taught"
    succeeded(run(*Commands(folder)("classify", alone, "--epochs", 1), timeout=300))
    words = Commands(folder)("classify", taught, "--distil", teacher, "--epochs", 1)
    succeeded(run(*words, timeout=300))
    assert weights(alone) != weights(taught)
    assert config(alone)["data"]["fingerprint"] == config(taught)["data"]["fingerprint"]


def test_a_run_goes_on_with_its_own_teacher_and_texts_only(
    folder: Path, teacher: Path, run: Shell, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    words = student(folder, teacher, out, "--save-every", 0)
    killed = run(*words, before=at_save(3, KILL), timeout=300)
    assert killed.status == -signal.SIGKILL, killed.err
    succeeded(run(*Commands(folder)("classify", other, "--steps", 2), timeout=300))
    resume = ["train", "classify", "-o", out, "--resume"]
    found = run(*resume, "--distil", other, timeout=300)
    assert found.status == 2, found.err
    assert "the teacher other is not the one of the run" in found.told
    (tmp_path / "v.txt").write_text("other\n", "utf-8")
    found = run(*resume, "--distil", teacher, "--unlabelled", tmp_path / "v.txt", timeout=300)
    assert found.status == 2, found.err
    assert "the unlabelled data are not those of the run" in found.told
    # A copy of the teacher is the same one.
    shutil.copytree(teacher, tmp_path / "moved")
    succeeded(run(*resume, "--distil", tmp_path / "moved", timeout=300))


def test_a_dry_run_counts_the_texts(
    folder: Path, teacher: Path, run: Shell, tmp_path: Path
) -> None:
    words = student(folder, teacher, tmp_path / "m")
    start = words[: words.index("-o")] + words[words.index("-o") + 2 :]
    found = succeeded(run(*start, "--dry-run", "--json", timeout=300))
    assert json.loads(found.text)["unlabelled"] == 60
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("file", "content", "parts"),
    [
        ("u.txt", b"", ("u.txt is empty",)),
        ("u.txt", b"fine\nna\xefve\n", ("u.txt, line 2",)),
        ("u.csv", b"review\nfine\n", ("u.csv has no column 'text'", "--text-column")),
    ],
)
def test_texts_that_cannot_be_read(
    file: str,
    content: bytes,
    parts: tuple[str, ...],
    folder: Path,
    teacher: Path,
    run: Shell,
    tmp_path: Path,
) -> None:
    (tmp_path / file).write_bytes(content)
    words = ("--distil", teacher, "--unlabelled", tmp_path / file)
    run(*Commands(folder)("classify", tmp_path / "m", *words)).failed(1, *parts)
    assert not (tmp_path / "m").exists()


def test_a_teacher_that_cannot_teach(
    folder: Path, teacher: Path, run: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    found = run(*Commands(folder)("classify", out, "--distil", tmp_path / "none"))
    found.failed(1, str(tmp_path / "none"))
    rows = "".join(f"text {n},{'pos' if n % 2 else 'maybe'}\n" for n in range(40))
    (tmp_path / "other.csv").write_text(f"text,label\n{rows}", "utf-8")
    words = ("train", "classify", tmp_path / "other.csv", "-o", out, "--distil", teacher)
    run(*words).failed(
        2, "does not know 'maybe'", "the data do not have 'neg'", "needs the same labels"
    )
    run(*words, "--multi-label").failed(2, "one label")
    before = sorted((path.name, path.read_bytes()) for path in teacher.iterdir() if path.is_file())
    run("train", "classify", folder / "reviews.csv", "-o", teacher, "--distil", teacher, "--force",
        ).failed(2, "holds the teacher", "-o")  # fmt: skip
    assert before == sorted(
        (path.name, path.read_bytes()) for path in teacher.iterdir() if path.is_file()
    )
    run("train", "tag", folder / "tagged.conllu", "-o", out, "--distil", teacher).failed(
        2, "--distil is for train classify"
    )
    run("train", "classify", folder / "reviews.csv", "-o", out, "--unlabelled", "u").failed(
        2, "--unlabelled needs --distil"
    )
    assert not out.exists()
