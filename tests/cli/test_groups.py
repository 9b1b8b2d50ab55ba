"""`train --group-column`: what is held out, what is said of it, and how a run is repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import TINY, Shell

COLUMN = ("--group-column", "film")


def films(path: Path, *, count: int = 20, first: int = 0) -> Path:
    """Five reviews of each film."""
    rows = ["film,text,label"]
    for n in range(5 * count):
        film = first + n % count
        rows.append(f'naïve {film},"{path.stem}, review {n} of a 🙂 film",{"ab"[n % 3 % 2]}')
    path.write_text("\n".join([*rows, ""]), "utf-8")
    return path


@pytest.fixture
def trained(run: Shell, tmp_path: Path) -> Path:
    found = run(
        "train", "classify", films(tmp_path / "d.csv"), "-o", tmp_path / "m", *COLUMN, *TINY, 4
    )
    assert found.status == 0, found.err
    assert "90 documents to train on, 10 to validate on" in found.told
    assert "found in training too" not in found.told
    return tmp_path / "m"


def test_a_run_with_groups(run: Shell, trained: Path, tmp_path: Path) -> None:
    """--config and --resume keep the column, and other data need not have it."""
    config = json.loads((trained / "config.json").read_text("utf-8"))
    assert config["training"]["options"]["group_column"] == "film"
    assert (config["data"]["valid"], config["data"]["shared_groups"]) == (10, 0)
    args = ("train", "classify", "--config", trained / "config.json", "-o", tmp_path / "again")
    run(*args, "-q").done()
    for name in ("model.safetensors", "model.onnx"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()
    args = ("train", "classify", tmp_path / "d.csv", "-o", trained, "--resume")
    run(*args, "--group-column", "text").failed(2, "--group-column text", "started with 'film'")
    run(*args, *COLUMN, "-q").done()
    plain = tmp_path / "plain.csv"
    plain.write_text("text,label\na review,a\nanother,b\n", "utf-8")
    run("evaluate", "-m", trained, plain).done()
    run("export", trained, "--int8", "--valid", plain, "-q").done()


def test_groups_of_a_named_file(run: Shell, tmp_path: Path) -> None:
    data = films(tmp_path / "d.csv")
    for first, shared in ((17, 3), (20, 0)):
        valid = films(tmp_path / "v.csv", first=first)
        args = ("train", "classify", data, "--valid", valid, *COLUMN, "--dry-run", "--threads", "1")
        found = run(*args, "--json")
        assert found.status == 0, found.err
        (facts,) = found.objects
        assert (facts["valid_documents"], facts["shared_groups"]) == (100, shared)
        line = "3 of the validation data's groups found in training too\n"
        assert (line in found.told) == (shared > 0)


def test_near_duplicates_of_a_named_file(run: Shell, tmp_path: Path) -> None:
    data, valid = films(tmp_path / "d.csv"), tmp_path / "v.csv"
    lines = data.read_text("utf-8").splitlines()
    given = [lines[0], *lines[1:4], *(line.upper() for line in lines[4:9])]
    valid.write_text(
        "\n".join([*given, "x,new,a", ""]).replace(",A\n", ",a\n").replace(",B\n", ",b\n")
    )
    args = ("train", "classify", data, "--valid", valid, "--dry-run", "--threads", "1", "--json")
    found = run(*args)
    assert found.status == 0, found.err
    (facts,) = found.objects
    assert (facts["duplicates"], facts["near_duplicates"], facts["valid_documents"]) == (3, 5, 9)
    assert "shared_groups" not in facts
    assert "3 of 9 validation documents found in training too\n" in found.told
    assert (
        "5 of 9 validation documents differ from training only in case, punctuation and white "
        "space\n" in found.told
    )


@pytest.mark.parametrize(
    ("status", "name", "content", "parts"),
    [
        (2, "a.txt", "__label__a x\n__label__b y\n", ("a.txt is fastText lines", "leave it out")),
        (1, "a.csv", "text,label\nx,a\n", ("a.csv has no column 'film'; it has: text, label",)),
        (1, "a.jsonl", '{"text": "x", "label": "a"}\n', ("a.jsonl, line 1 has no column 'film'",)),
        (
            1,
            "a.tsv",
            "film\ttext\tlabel\n" + "".join(f"f\tx {n}\t{'ab'[n % 2]}\n" for n in range(9)),
            ("a.tsv", "--group-column film", "all 9 examples are of one", "--valid"),
        ),
    ],
)
def test_what_has_no_groups(
    status: int, name: str, content: str, parts: tuple[str, ...], run: Shell, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    args = ("train", "classify", tmp_path / name, "-o", tmp_path / "m", *COLUMN, "-q")
    assert run(*args).failed(status, *parts).out == b""
    assert [path.name for path in tmp_path.iterdir()] == [name]
