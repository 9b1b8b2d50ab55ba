"""`rnntext score`: the perplexity of records and the bits of their words."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rnntext import checkpoint
from tests.cli.test_streams import on_terminal, plain
from tests.conftest import CORPORA, RNNTEXT, Outcome, Shell, environment

SAMPLE = "naïve café 你好 🙂"
TEXTS = ["The heron counted the boats.", "", SAMPLE, "[bold] words\u2028and\fmore", "the the the"]
FIELDS = ["text", "perplexity", "bits_per_byte", "tokens", "bits", "unknown", "perplexity_known"]


class Score:
    """Runs `rnntext score` with one model."""

    def __init__(self, run: Shell, model: Path) -> None:
        self._run, self._fixed = run, ("score", "-m", model, "--threads", "1")

    def __call__(self, *args: object, stdin: bytes = b"") -> Outcome:
        return self._run(*self._fixed, *args, stdin=stdin)

    def json(self, *args: object, stdin: bytes = b"") -> list[Any]:
        return self("--json", *args, stdin=stdin).done().objects


@pytest.fixture
def score(run: Shell, lm: Path) -> Score:
    return Score(run, lm)


@pytest.fixture(scope="module")
def words_lm(run: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of whole words, whose tokenizer loses text."""
    directory = tmp_path_factory.mktemp("words") / "lm"
    args = ("--tokenizer", "word", "--hidden", 12, "--steps", 2, "--threads", 1, "-q")
    run("train", "lm", CORPORA / "stories.txt", "-o", directory, *args).done()
    return directory


def lines(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def test_columns_and_fields(score: Score) -> None:
    objects = score.json(stdin=lines(TEXTS))
    assert [list(found) for found in objects] == [FIELDS] * len(TEXTS)
    assert [found["text"] for found in objects] == TEXTS
    for text, found in zip(TEXTS, objects, strict=True):
        assert found["unknown"] == 0
        assert found["perplexity"] == pytest.approx(
            2 ** (found["bits"] / found["tokens"]), rel=1e-5
        )
        per_byte = found["bits"] / (len(text.encode()) + 1)
        assert found["bits_per_byte"] == pytest.approx(per_byte, abs=1e-6)
    rows = [line.split("\t") for line in score(stdin=lines(TEXTS)).done().lines]
    for row, found in zip(rows, objects, strict=True):
        assert [float(row[0]), float(row[1])] == [found["perplexity"], found["bits_per_byte"]]
        assert row[2:] == [str(found["tokens"])]
        assert "e" not in "".join(row)


def test_the_text_is_the_last_column(score: Score) -> None:
    texts = ["a\tb", "", SAMPLE]
    plain = score(stdin=lines(texts)).done().lines
    found = score("--with-text", stdin=lines(texts)).done().lines
    shown = ["a b", "", SAMPLE]
    assert found == [f"{line}\t{text}" for line, text in zip(plain, shown, strict=True)]
    score("--with-text", "--words", stdin=b"a\n").failed(2, "leave --with-text out")


def test_only_lines_of_more_bits_a_token(score: Score) -> None:
    means = [found["bits"] / found["tokens"] for found in score.json(stdin=lines(TEXTS))]
    third, second = sorted(means)[2:4]
    above = ("--above", f"{(second + third) / 2:.9f}")
    odd = [mean >= second for mean in means]
    assert sum(odd) == 2
    for options in ((), ("--with-text",), ("--json",)):
        whole = score(*options, stdin=lines(TEXTS)).done().lines
        found = score(*options, *above, stdin=lines(TEXTS)).done().lines
        assert found == [line for line, is_odd in zip(whole, odd, strict=True) if is_odd]
    # Empty lines stay between the records that are printed.
    records = score("--words", stdin=lines(TEXTS)).done().text[:-1].split("\n\n")
    wanted = [record for record, is_odd in zip(records, odd, strict=True) if is_odd]
    words = score("--words", *above, stdin=lines(TEXTS)).done().text
    assert words == "\n\n".join(wanted) + "\n"
    # What is not printed is read all the same.
    carried = score("--state", "carry", stdin=lines(TEXTS)).done().lines
    some = score("--state", "carry", *above, stdin=lines(TEXTS)).done().lines
    assert set(some) <= set(carried)
    assert score("--above", "1000", stdin=lines(TEXTS)).done().out == b""
    score("--above", "x", stdin=b"a\n").failed(2, "--above must be from 0 to 1,000")


def test_only_lines_that_are_odder_than_most_of_the_validation_text(
    run: Shell, lm: Path, tmp_path: Path
) -> None:
    saved = json.loads((lm / "config.json").read_bytes())
    assert saved["line_bits"]["lines"] == saved["data"]["valid"]
    text = lines((CORPORA / "stories.txt").read_text("utf-8").splitlines()[:200])
    (tmp_path / "valid.txt").write_bytes(text)
    model = tmp_path / "m"
    shutil.copytree(lm, model)
    score = Score(run, model)
    for precision in ("--int8", "--float32"):
        run("export", model, precision, "--valid", tmp_path / "valid.txt").done()
        for state in ("reset", "carry"):
            shown = score("--above", "99%", "--state", state, tmp_path / "valid.txt").done().lines
            # Another batch may round the quantile's own line up.
            assert len(shown) in (2, 3), (precision, state)
    assert score("--above", "100%", stdin=text).done().out == b""
    score("--above", "101%", stdin=text).failed(2, "--above must be from 0 to 100, not 101")
    found = checkpoint.load(model)
    config = {name: value for name, value in found.config.items() if name != "line_bits"}
    files: dict[str, bytes | Path] = {name: found.file(name) for name in found.config["files"]}
    checkpoint.save(tmp_path / "older", files, config, force=False)
    older = Score(run, tmp_path / "older")("--above", "99%", stdin=text)
    older.failed(2, "does not record", "--float32 --valid FILE")


def test_a_tokenizer_that_loses_text_has_no_bits_per_byte(run: Shell, words_lm: Path) -> None:
    score = Score(run, words_lm)
    stdin = lines(["the heron said", "the zyzzyva said"])
    objects = score.json(stdin=stdin)
    assert [found["bits_per_byte"] for found in objects] == [None, None]
    assert [found["unknown"] for found in objects] == [0, 1]
    rows = [line.split("\t") for line in score(stdin=stdin).done().lines]
    assert [row[1:] for row in rows] == [["", "4"], ["", "4"]]


def test_a_line_a_word(score: Score) -> None:
    objects = score.json("--words", stdin=lines(TEXTS))
    assert [list(found) for found in objects] == [[*FIELDS, "words"]] * len(TEXTS)
    for text, found in zip(TEXTS, objects, strict=True):
        words = text.replace("你好", "你 好").split()
        assert [word["word"] for word in found["words"]] == [*words, "<eos>"]
        assert sum(w["bits"] for w in found["words"]) == pytest.approx(found["bits"], abs=1e-4)
    text = score("--words", stdin=lines(TEXTS)).done().text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    records = [record.split("\n") for record in text[:-1].split("\n\n")]
    for record, found in zip(records, objects, strict=True):
        pairs = [line.split("\t") for line in record]
        assert [(word, float(bits)) for word, bits in pairs] == [
            (word["word"], word["bits"]) for word in found["words"]
        ]
    # Each record in a run of its own.
    apart = b"".join(score("--words", "--text", t).done().out + b"\n" for t in TEXTS)
    assert apart == text.encode() + b"\n"


def test_the_state_is_reset_or_carried(score: Score, tmp_path: Path) -> None:
    reset = score.json(stdin=lines(TEXTS))
    assert score.json("--state", "reset", stdin=lines(TEXTS)) == reset
    carried = score.json("--state", "carry", stdin=lines(TEXTS))
    assert carried[0] == reset[0]
    assert all(one["bits"] != two["bits"] for one, two in zip(carried[1:], reset[1:], strict=True))
    # Each file starts afresh, and so does what is piped in.
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_bytes(lines(TEXTS[:3]))
    two.write_bytes(lines(TEXTS))
    found = score.json("--state", "carry", one, "-", two, stdin=lines(TEXTS[:2]))
    assert found == [*carried[:3], *carried[:2], *carried]
    by_word = score.json("--words", "--state", "carry", stdin=lines(TEXTS))
    assert [found["bits"] for found in by_word] == [found["bits"] for found in carried]
    score("--state", "x", stdin=b"a\n").failed(2, "--state is one of reset, carry, not 'x'")


def test_every_way_in(score: Score, tmp_path: Path) -> None:
    wanted = score.json(stdin=lines(TEXTS))
    file = tmp_path / "a.txt"
    file.write_bytes(lines(TEXTS))
    assert score.json(file) == score.json("-", stdin=lines(TEXTS)) == wanted
    assert score.json(*(arg for text in TEXTS for arg in ("--text", text))) == wanted
    assert score.json("--threads", "2", file, file) == [*wanted, *wanted]
    table = tmp_path / "a.jsonl"
    rows = [{"id": n, "title": text, "x": [None]} for n, text in enumerate(TEXTS)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = score.json("--text-column", "title", table)
    assert found == [{**row, **answer} for row, answer in zip(rows, wanted, strict=True)]
    (tmp_path / "b.txt").write_text("one\ntwo\n")
    whole = score.json("--record", "file", tmp_path / "b.txt")
    assert [record["text"] for record in whole] == ["one\ntwo"]
    assert score(stdin=b"").done().out == b""
    assert score("--words", stdin=b"").done().out == b""


def test_a_record_of_several_lines(score: Score, tmp_path: Path) -> None:
    """The model reads its line ends, and every byte counts."""
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (found,) = score.json("--record", "file", tmp_path / "a.txt")
    apart = score.json("--state", "carry", stdin=b"one\n\ntwo\n")
    assert found["tokens"] == sum(line["tokens"] for line in apart)
    assert found["bits"] == pytest.approx(sum(line["bits"] for line in apart), abs=1e-4)
    assert found["bits_per_byte"] == pytest.approx(found["bits"] / 9, abs=1e-6)


@pytest.mark.parametrize("options", [(), ("--words",), ("--state", "carry")])
def test_a_line_is_answered_though_the_pipe_stays_open(
    options: tuple[str, ...], score: Score, lm: Path
) -> None:
    texts = [SAMPLE, "", "again"]
    wanted = score(*options, stdin=lines(texts)).done().out
    command = [*RNNTEXT, "score", "-m", str(lm), "--threads", "1", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        so_far = b""
        for text in texts:
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            answer = b""
            while b"<eos>\t" not in answer if options == ("--words",) else b"\n" not in answer:
                ready, _, _ = select.select([process.stdout], [], [], 120)
                if not ready:
                    process.kill()
                assert ready, "no answer"
                answer += os.read(process.stdout.fileno(), 1 << 16)
            so_far += answer
            assert so_far.endswith(b"\n")
            assert wanted.startswith(so_far)
        process.stdin.close()
        assert process.wait(120) == 0
        assert process.stdout.read() == b""
    assert so_far == wanted


def test_a_terminal_shows_the_words(run: Shell, lm: Path) -> None:
    text = "literal [brackets] and [bold]tags[/bold] 🙂 你好"
    found, shown = on_terminal(run, "score", "-m", lm, "--threads", "1", "--text", text)
    assert found.done().out == b""
    (line,) = Score(run, lm).json("--text", text)
    heading, answer, rest = plain(shown).split("\n")
    assert (heading, rest) == ("perplexity  text", "")
    perplexity, *words = answer.split()
    assert float(perplexity) == pytest.approx(line["perplexity"], abs=0.06)
    assert words == text.split()


def test_models_that_cannot_score(run: Shell, classifier: Path, tmp_path: Path) -> None:
    stdin = b"a\n"
    found = run("score", "-m", classifier, stdin=stdin)
    found.failed(1, "is a classifier, and this needs a language model", "rnntext classify")
    assert found.out == b""
    run("score", "-m", tmp_path / "none", stdin=stdin).failed(1, "none does not exist")
    run("score", stdin=stdin).failed(2, "-m DIR")


def test_input_that_cannot_be_read(score: Score, tmp_path: Path) -> None:
    score(tmp_path / "none.txt").failed(1, "none.txt")
    found = score(stdin=b"a\nb\ncaf\xe9\nc\n")
    found.failed(1, "standard input, line 3, byte 7 (0xE9) is not UTF-8")
    assert found.lines == score(stdin=b"a\nb\n").done().lines
    score("--text", "a", tmp_path / "none.txt").failed(2, "--text stands in place of files")
