"""`rnntext generate`: prompts in, text out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY, Shell

PROMPT = "The heron, naïve café 你好 🙂"
FIELDS = ["prompt", "text", "tokens", "finish_reason"]


class Generate:
    """Runs `rnntext generate` with one model and seed."""

    def __init__(self, run: Shell, model: Path) -> None:
        self._run, self._fixed = run, ("generate", "-m", model, "--threads", "1", "--seed", "5")

    def __call__(self, *args: object, stdin: bytes = b"", length: int = 12) -> str:
        return self._run(*self._fixed, "-n", length, *args, stdin=stdin).done().text

    def json(self, *args: object, stdin: bytes = b"", length: int = 12) -> list[Any]:
        found = self._run(*self._fixed, "-n", length, "--json", *args, stdin=stdin)
        return found.done().objects


@pytest.fixture
def generate(run: Shell, lm: Path) -> Generate:
    return Generate(run, lm)


def test_prompt_then_continuation_then_one_line_end(generate: Generate) -> None:
    (found,) = generate.json(PROMPT)
    assert list(found) == FIELDS
    assert found["prompt"] == PROMPT
    assert found["text"]
    assert (found["tokens"], found["finish_reason"]) == (12, "length")
    assert generate(PROMPT) == f"{PROMPT}{found['text']}\n"
    assert generate(PROMPT, "--no-echo") == f"{found['text']}\n"


def test_the_prompt_from_a_pipe_loses_one_line_end(generate: Generate) -> None:
    assert generate(stdin=f"{PROMPT}\n".encode()) == generate(PROMPT)
    assert generate(stdin=PROMPT.encode()) == generate(PROMPT)
    (found,) = generate.json(stdin=b"one\ntwo\n\n")
    assert found["prompt"] == "one\ntwo\n"
    (found,) = generate.json()
    assert found["prompt"] == ""


def test_a_prompt_in_another_encoding(generate: Generate, run: Shell, lm: Path) -> None:
    for more in ((), ("--record", "line")):
        (found,) = generate.json("--encoding", "latin-1", *more, stdin=b"caf\xe9\n")
        assert found["prompt"] == "café"
        (found,) = generate.json("--encoding-errors", "replace", *more, stdin=b"caf\xe9\n")
        assert found["prompt"] == "caf\ufffd"
    run("generate", "-m", lm, stdin=b"caf\xe9\n").failed(1, "byte 3", "--encoding-errors")


def test_a_prompt_a_line(generate: Generate) -> None:
    prompts = [PROMPT, "", "two\u2028words", "[brackets]", ""]
    stdin = "".join(f"{prompt}\n" for prompt in prompts).encode()
    found = generate.json("--record", "line", stdin=stdin)
    assert [f["prompt"] for f in found] == prompts
    assert not any("\n" in f["text"] for f in found)
    text = generate("--record", "line", stdin=stdin)
    assert text == "".join(f"{f['prompt']}{f['text']}\n" for f in found)
    # The same text alone, and in another order.
    for prompt, among in zip(prompts[:3], found, strict=False):
        assert generate.json("--record", "line", stdin=f"{prompt}\n".encode()) == [among]
    backwards = "".join(f"{prompt}\n" for prompt in prompts[::-1]).encode()
    assert generate.json("--record", "line", stdin=backwards) == found[::-1]


def test_the_end_of_the_line_ends_the_text(run: Shell, tmp_path: Path) -> None:
    """With a vocabulary of a few characters, of which the line end is one, even a model that has
    learned nothing soon ends a line."""
    data, model = tmp_path / "a.txt", tmp_path / "m"
    data.write_text("a\nb\n" * 200)
    run("train", "lm", data, "-o", model, "--tokenizer", "char", *TINY, 2, "-q").done()
    generate = Generate(run, model)
    found = generate.json("--record", "line", stdin=b"a\nb\na\nb\n", length=400)
    assert [f["finish_reason"] for f in found] == ["end"] * 4
    assert all(f["tokens"] < 400 for f in found)


def test_samples_with_an_empty_line_between(generate: Generate) -> None:
    samples = generate.json(PROMPT, "--num-samples", "3")
    assert len({s["text"] for s in samples}) == 3
    assert [samples[0]] == generate.json(PROMPT)
    whole = "\n".join(f"{PROMPT}{s['text']}\n" for s in samples)
    assert generate(PROMPT, "--num-samples", "3") == whole


def test_the_seed_determines_the_text(generate: Generate) -> None:
    assert generate(PROMPT) == generate(PROMPT)
    assert generate(PROMPT) == generate(PROMPT, "--threads", "2")
    assert generate(PROMPT) != generate(PROMPT, "--seed", "6")


def test_without_a_seed_texts_differ(run: Shell, lm: Path) -> None:
    args = ("generate", "-m", lm, "--threads", "1", "-n", "30")
    assert run(*args).done().text != run(*args).done().text


def test_greedy(generate: Generate) -> None:
    greedy = generate(PROMPT, "--temperature", "0")
    assert generate(PROMPT, "--temperature", "0", "--seed", "77") == greedy
    assert generate(PROMPT, "--top-k", "1") == greedy
    samples = generate.json(PROMPT, "--temperature", "0", "--num-samples", "2")
    assert samples[0] == samples[1]


def test_stop_across_tokens(generate: Generate) -> None:
    text = generate.json(PROMPT, length=20)[0]["text"]
    # Every stretch of four characters: most of them lie in two tokens.
    for place in range(4, len(text) - 4, 7):
        stop = text[place : place + 4]
        before = text[: text.index(stop)]
        (found,) = generate.json(PROMPT, "--stop", stop, length=20)
        assert (found["text"], found["finish_reason"]) == (before, "stop")
        assert 0 < found["tokens"] <= 20
        assert generate(PROMPT, "--stop", "never", "--stop", stop, length=20) == (
            f"{PROMPT}{before}\n"
        )
    # The beginning of a stop text is printed if its end does not follow.
    (found,) = generate.json(PROMPT, "--stop", text[-3:] + "~~~", length=20)
    assert (found["text"], found["finish_reason"]) == (text, "length")


def test_no_length(generate: Generate) -> None:
    assert generate(PROMPT, length=0) == f"{PROMPT}\n"
    assert generate.json(PROMPT, length=0) == [
        {"prompt": PROMPT, "text": "", "tokens": 0, "finish_reason": "length"}
    ]


def test_a_longer_text_begins_like_a_shorter_one(generate: Generate) -> None:
    """The state after a prompt is the state after its tokens."""
    greedy = generate("The", "--temperature", "0", length=6)
    longer = generate("The", "--temperature", "0", length=9)
    assert longer.startswith(greedy.removesuffix("\n"))


def test_a_prompt_is_a_line_or_all_of_the_input(run: Shell, lm: Path) -> None:
    found = run("generate", "-m", lm, "--record", "file", "The")
    found.failed(2, "--record file: a prompt is the whole input, or with line a line")
