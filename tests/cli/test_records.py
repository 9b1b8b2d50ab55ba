"""Records in, answers out: every input route in every output form."""

from __future__ import annotations

import gzip
import json
import os
import random
import select
import subprocess
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import write_table

from tests.conftest import RNNTEXT, Outcome, Shell, environment

SAMPLE = "naïve café 你好 🙂"
TEXTS = [
    SAMPLE,
    "",
    "one\u2028record\u0085and\fno more",
    'a "quoted", [bracketed] text',
    "  The soup was cold.  ",
    "",
]
ROUTES = [
    "file", "files", "dash", "file and dash", "pipe", "gz", "text", "crlf", "no final LF", "bom",
    "csv", "tsv", "jsonl", "parquet",
]  # fmt: skip
TASKS = ["classify", "tag"]
ONE = ("--threads", "1")


@pytest.fixture
def model(task: str, classifier: Path, tagger: Path) -> Path:
    return classifier if task == "classify" else tagger


def lines(texts: list[str], end: str = "\n") -> bytes:
    return "".join(text + end for text in texts).encode()


def by_route(route: str, texts: list[str], tmp: Path) -> tuple[list[str], bytes]:
    """Arguments and standard input that bring in `texts`."""

    def file(name: str, data: bytes) -> str:
        (tmp / name).write_bytes(data)
        return str(tmp / name)

    rows = [{"id": f"{number:03}", "text": text} for number, text in enumerate(texts)]
    match route:
        case "file":
            return [file("a.txt", lines(texts))], b""
        case "files":
            half = [file("a.txt", lines(texts[:2])), file("b.txt", lines(texts[2:]))]
            return half, b""
        case "dash":
            return ["-"], lines(texts)
        case "file and dash":
            return [file("a.txt", lines(texts[:4])), "-"], lines(texts[4:])
        case "pipe":
            return [], lines(texts)
        case "gz":
            return [file("a.txt.gz", gzip.compress(lines(texts)))], b""
        case "text":
            return [arg for text in texts for arg in ("--text", text)], b""
        case "crlf":
            return [file("a.txt", lines(texts, "\r\n"))], b""
        case "no final LF":
            # The last text is empty, so its own line end has to stay.
            return [file("a.txt", lines([*texts, "x"])[:-1])], b""
        case "bom":
            return [], b"\xef\xbb\xbf" + lines(texts)
        case "csv":
            fields = [row["text"].replace('"', '""') for row in rows]
            table = "".join(f'{r["id"]},"{f}"\n' for r, f in zip(rows, fields, strict=True))
            return ["--text-column", "text", file("a.csv", f"id,text\n{table}".encode())], b""
        case "tsv":
            table = "".join("\t".join(row.values()) + "\n" for row in rows)
            return ["--text-column", "text", file("a.tsv", f"id\ttext\n{table}".encode())], b""
        case "parquet":
            path = tmp / "a.parquet"
            write_table(pyarrow.Table.from_pylist(rows), path)
            return [str(path)], b""
        case _:
            table = "".join(json.dumps(row) + "\n" for row in rows)
            return ["--text-column", "text", file("a.jsonl", table.encode())], b""


def answers(task: str, found: Outcome) -> list[Any]:
    """The answers in TSV: (label, probability) of each record, or its [(word, tag), ...]."""
    if task == "classify":
        pairs = [line.split("\t") for line in found.lines]
        return [(label, float(probability)) for label, probability in pairs]
    sentences: list[Any] = [[]]
    for line in found.lines:
        if line:
            sentences[-1].append(tuple(line.split("\t")))
        else:
            sentences.append([])
    assert sentences.pop() == []
    return sentences


@pytest.fixture(scope="module")
def expected(run: Shell, classifier: Path, tagger: Path) -> dict[tuple[str, str], Any]:
    """The answer to each text in a run of its own."""
    models = {"classify": classifier, "tag": tagger}
    return {
        (task, text): run(task, "-m", model, *ONE, "--json", "--text", text).done().objects[0]
        for task, model in models.items()
        for text in {*TEXTS, "x"}
    }


def assert_same(task: str, objects: list[Any], expected: list[Any]) -> None:
    """Assert equal labels, and probabilities that differ by at most 1e-4."""
    assert [o["text"] for o in objects] == [e["text"] for e in expected]
    for found, wanted in zip(objects, expected, strict=True):
        if task == "classify":
            assert found["label"] == wanted["label"]
            assert found["labels"] == pytest.approx(wanted["labels"], abs=1e-4)
        else:
            assert (found["words"], found["tags"]) == (wanted["words"], wanted["tags"])
            assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("task", TASKS)
def test_every_route_in_every_form(
    task: str, route: str, form: str, run: Shell, model: Path, expected: Any, tmp_path: Path
) -> None:
    args, stdin = by_route(route, TEXTS, tmp_path)
    texts = [*TEXTS, "x"] if route == "no final LF" else TEXTS
    wanted = [expected[task, text] for text in texts]
    if form == "json":
        objects = run(task, "-m", model, *ONE, "--json", *args, stdin=stdin).done().objects
        assert_same(task, objects, wanted)
        if route in ("csv", "tsv", "jsonl", "parquet"):
            assert [o["id"] for o in objects] == [f"{n:03}" for n in range(len(texts))]
        return
    found = answers(task, run(task, "-m", model, *ONE, *args, stdin=stdin).done())
    if task == "classify":
        assert [label for label, _ in found] == [w["label"] for w in wanted]
        assert [p for _, p in found] == pytest.approx([w["probability"] for w in wanted], abs=1e-4)
    else:
        assert found == [list(zip(w["words"], w["tags"], strict=True)) for w in wanted]


@pytest.mark.parametrize("task", TASKS)
def test_each_file_is_a_record(task: str, run: Shell, model: Path, tmp_path: Path) -> None:
    texts = [f"{SAMPLE}\n\nand\u2028more", "", "last"]
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.txt")
        paths[-1].write_bytes(f"{text}\n".replace("\n", "\r\n").encode())
    found = run(task, "-m", model, *ONE, "--json", "--record", "file", *paths).done()
    assert [o["text"] for o in found.objects] == texts
    plain = run(task, "-m", model, *ONE, "--record", "file", *paths).done()
    assert len(answers(task, plain)) == len(texts)


@pytest.mark.parametrize("task", TASKS)
def test_a_line_of_a_million_characters(task: str, run: Shell, model: Path) -> None:
    long = "something wonderful " * 50_000
    stdin = lines(["before", long, "after"])
    found = answers(task, run(task, "-m", model, *ONE, stdin=stdin, timeout=600).done())
    assert len(found) == 3
    if task == "tag":
        assert [len(sentence) for sentence in found] == [1, 100_000, 1]


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_does_not_depend_on_the_batch(
    task: str, run: Shell, model: Path, expected: Any
) -> None:
    pool = [f"{text} {'and the soup ' * (n % 90)}".strip() for n, text in enumerate(TEXTS * 30)]
    mixed = [*pool, *TEXTS]
    random.Random(1).shuffle(mixed)
    together = run(task, "-m", model, *ONE, "--json", stdin=lines(mixed)).done().objects
    again = run(task, "-m", model, "--threads", "2", "--json", stdin=lines(mixed[::-1]))
    assert_same(task, again.done().objects, together[::-1])
    known = [o for o in together if (task, o["text"]) in expected]
    assert len(known) >= len(TEXTS)
    assert_same(task, known, [expected[task, o["text"]] for o in known])


def test_the_row_s_own_fields_come_first_and_as_they_were(run: Shell, classifier: Path) -> None:
    row = {"id": 7, "list": [1, {"a": None}], "title": SAMPLE, "yes": True, "big": 2**60}
    args = ("classify", "-m", classifier, *ONE, "--json", "--text-column", "title")
    (found,) = run(*args, stdin=json.dumps(row).encode()).done().objects
    assert {name: found[name] for name in row} == row
    assert list(found) == [*row, "text", "label", "probability", "labels"]
    assert found["text"] == SAMPLE
    assert found["label"] == next(iter(found["labels"]))
    assert found["probability"] == found["labels"][found["label"]]
    assert sum(found["labels"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [(), ("-q",), ("--record", "line"), ("--text-column", "text")])
def test_a_table_has_an_answer_a_row_though_no_column_is_named(
    options: tuple[str, ...], run: Shell, classifier: Path, tmp_path: Path
) -> None:
    """The model was trained with a table with the column `text`."""
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"two\nlines"\n2,b\n')
    found = run("classify", "-m", classifier, *ONE, "--json", *options, path)
    assert found.status == 0
    by_line = options == ("--record", "line")
    texts = ["id,text", '1,"two', 'lines"', "2,b"] if by_line else ["two\nlines", "b"]
    assert [o["text"] for o in found.objects] == texts
    remark = f"rnntext: {path} is read by its column 'text', as the model's training data were"
    assert found.err.startswith(remark) if not options else not found.err


@pytest.mark.parametrize(
    ("command", "empty"),
    [
        (("classify", "-k", "2", "--with-text"), "\t\t\t\t\n"),
        (("tag",), "\n"),
        (("score", "--with-text", "--state", "carry"), "\t\t\t\n"),
        (("predict", "-k", "2"), "\t\t\t\n"),
    ],
)
def test_a_record_that_cannot_be_read_is_answered_or_left_out(
    command: tuple[str, ...],
    empty: str,
    run: Shell,
    lm: Path,
    classifier: Path,
    tagger: Path,
) -> None:
    model = {"classify": classifier, "tag": tagger}.get(command[0], lm)
    args = (*command, "-m", model, *ONE, "--text-column", "x")
    good = [b'{"x": "a b"}\n', b'{"x": "c"}\n']
    bad = b'{"x": \n'
    stdin = bad.join(good)
    alone = [run(*args, stdin=good[0]).done(), run(*args, stdin=b"".join(good)).done()]
    parts = alone[0].text, alone[1].text.removeprefix(alone[0].text)
    error = "rnntext: 1 record could not be read; the first: standard input, line 2 is not JSON"
    found = run(*args, "--on-error", "skip", stdin=stdin)
    assert found.failed(1, error).text == alone[1].text
    found = run(*args, "--on-error", "null", stdin=stdin)
    assert found.failed(1, error).text == parts[0] + empty + parts[1]
    one, wrong, two = run(*args, "--on-error", "null", "--json", stdin=stdin).failed(1).objects
    assert list(wrong) == ["error", "line"]
    assert wrong["line"] == 2
    assert wrong["error"].startswith("standard input, line 2 is not JSON")
    assert [one, two] == run(*args, "--json", stdin=b"".join(good)).done().objects
    found = run(*args, stdin=stdin)
    assert found.failed(1, "standard input, line 2 is not JSON").text == parts[0]


def test_columns_of_classify(run: Shell, classifier: Path) -> None:
    args = ("classify", "-m", classifier, *ONE)
    text = "a\ttab, a\u2028line and\r\n[more]"
    (line,) = run(*args, "--with-text", "-k", "2", "--text", text).done().lines
    one, p_one, two, p_two, shown = line.split("\t")
    assert {one, two} == {"neg", "pos"}
    assert float(p_one) >= float(p_two)
    assert float(p_one) + float(p_two) == pytest.approx(1, abs=1e-4)
    assert shown == "a tab, a line and  [more]"
    # A record whose labels are all left out is still a record.
    assert run(*args, "--threshold", "1", stdin=b"a\nb\n").done().lines == ["\t"] * 2
    (found,) = run(*args, "--json", "--threshold", "1", "--text", "a").done().objects
    assert (found["label"], found["labels"]) == (None, {})


def test_words_of_tag(run: Shell, tagger: Path) -> None:
    args = ("tag", "-m", tagger, *ONE, "--json", "--text", "Mara can't row, [naïve] 🙂.")
    (found,) = run(*args).done().objects
    assert list(found) == ["text", "words", "tags", "probabilities"]
    assert found["words"] == ["Mara", "ca", "n't", "row", ",", "[", "naïve", "]", "🙂", "."]
    assert len(found["tags"]) == len(found["probabilities"]) == 10
    assert all(0 < p <= 1 for p in found["probabilities"])
    (found,) = run(*args, "--pretokenized").done().objects
    assert found["words"] == ["Mara", "can't", "row,", "[naïve]", "🙂."]


@pytest.mark.parametrize("task", TASKS)
def test_what_came_before_a_bad_byte_is_answered(task: str, run: Shell, model: Path) -> None:
    args = (task, "-m", model, *ONE)
    found = run(*args, stdin=b"a\nb\ncaf\xe9\nc\n")
    found.failed(1, "standard input, line 3, byte 7 (0xE9) is not UTF-8")
    assert len(answers(task, found)) == 2
    (found_text,) = run(*args, "--json", "--encoding", "latin-1", stdin=b"caf\xe9").done().objects
    assert found_text["text"] == "café"
    replace = run(*args, "--json", "--encoding-errors", "replace", stdin=b"caf\xe9")
    assert replace.done().objects[0]["text"] == "caf\ufffd"


@pytest.mark.parametrize("task", TASKS)
def test_no_input_is_no_output(task: str, run: Shell, model: Path) -> None:
    assert run(task, "-m", model, *ONE).done().out == b""


@pytest.mark.parametrize("task", TASKS)
def test_a_line_is_answered_though_the_pipe_stays_open(task: str, model: Path) -> None:
    command = [*RNNTEXT, task, "-m", str(model), *ONE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (SAMPLE, "", "again"):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            answer = b""
            while not answer.endswith(b"\n\n" if task == "tag" and text else b"\n"):
                ready, _, _ = select.select([process.stdout], [], [], 120)
                if not ready:
                    process.kill()
                assert ready, "no answer"
                answer += os.read(process.stdout.fileno(), 1 << 16)
        process.stdin.close()
        assert process.wait(120) == 0
        assert process.stdout.read() == b""
