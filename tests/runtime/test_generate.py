"""Generation: batches, stop strings, streaming, and the graph that samples by itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from rnntext import checkpoint, held_file
from rnntext.errors import UsageError
from rnntext.runtime.generate import (
    Generation,
    GenerationOptions,
    TextChunk,
    generate,
    sort_by_text,
    stream,
)
from rnntext.runtime.language_model import GraphSampler, LanguageModel, State
from rnntext.runtime.sampling import SamplingOptions
from rnntext.text.tokenizer import Tokenizer
from tests.conftest import CORPORA, Shell
from tests.runtime.models import fixed_language_model

Array = NDArray[Any]

SAMPLE = "naïve café 你好 🙂"
# Prompts of one token and of many.
PROMPTS = ["", "The heron", SAMPLE, "counted the boats. " * 30, "A\nB", "The heron"]
WARM = SamplingOptions(temperature=1.2, top_k=40)
GREEDY = SamplingOptions(temperature=0)
# Options that the sampling graph supports.
PLAIN = SamplingOptions(temperature=0.9)


class Parrot:
    """A fake language model that repeats one text, whatever it reads.

    Its state is the position in the text. It has no sampling graph.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self.tokenizer = tokenizer
        self._ids = tokenizer.encode_lines([text])[0].tolist()
        self.begun: list[int] = []  # the only prompt without its last token
        self.prompt: list[int] = []

    def initial_state(self, rows: int = 1) -> tuple[Array, ...]:
        return (np.zeros((1, rows, 1)),)

    def advance(self, rows: Sequence[Array], state: tuple[Array, ...]) -> tuple[Array, ...]:
        self.begun = rows[0].tolist()
        return state

    def step(self, ids: Array, state: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        places = state[0][0, :, 0].astype(int)
        if not places.any():
            self.prompt = [*self.begun, int(ids[0])]
        logits = np.ones((len(ids), self.tokenizer.vocab_size), np.float32)
        for row, place in enumerate(places):
            logits[row, self._ids[place % len(self._ids)]] = 9
        return logits, (places.reshape(1, -1, 1) + 1.0,)

    def graph_sampler(self) -> None:
        return None

    @property
    def tokens(self) -> int:
        """The number of tokens of the text, without the end of the line."""
        return len(self._ids) - 1

    def generate(self, *prompts: str, num_samples: int = 1, **options: Any) -> list[Generation]:
        chosen = GenerationOptions(sampling=GREEDY, **options)
        model = cast(LanguageModel, self)
        return list(generate(model, list(prompts), chosen, num_samples))


def parrot(kind: str = "byte", text: str = SAMPLE, **options: Any) -> Parrot:
    lines = [SAMPLE, "the heron counted", "the boats"] * 3
    size = 280 if kind == "bpe" else 60
    return Parrot(Tokenizer.train(kind, lines, vocab_size=size, min_frequency=1, **options), text)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return fixed_language_model()


def texts(
    model: LanguageModel, prompts: Sequence[str], num_samples: int = 1, **options: Any
) -> list[Generation]:
    given = {"length": 25, "sampling": WARM, "seed": 5, **options}
    return list(generate(model, prompts, GenerationOptions(**given), num_samples))


# Independence of the batch


@pytest.mark.parametrize("sampling", [WARM, PLAIN])
def test_a_text_does_not_depend_on_the_rest_of_the_batch(
    model: LanguageModel, sampling: SamplingOptions
) -> None:
    together = texts(model, PROMPTS, sampling=sampling)
    assert [found.prompt for found in together] == PROMPTS
    for prompt, found in zip(PROMPTS, together, strict=True):
        assert texts(model, [prompt], sampling=sampling) == [found]
    assert texts(model, PROMPTS[::-1], sampling=sampling) == together[::-1]
    assert together[1] == together[5]
    assert len({found.text for found in together}) == len(set(PROMPTS))
    assert texts(model, PROMPTS, sampling=sampling, seed=6) != together


def test_a_sample_depends_on_the_seed_and_its_number_only(model: LanguageModel) -> None:
    one, *_ = texts(model, ["The heron"])
    samples = texts(model, ["The heron"], 4)
    assert samples[0] == one
    assert len({found.text for found in samples}) == 4
    assert texts(model, ["The heron"], 2) == samples[:2]
    # Sample s of prompt p has the index p * num_samples + s.
    of_two = texts(model, [SAMPLE, "The heron"], 4)
    assert of_two[4:] == samples
    assert [found.prompt for found in of_two] == [SAMPLE] * 4 + ["The heron"] * 4
    # More texts than one batch holds.
    many = texts(model, ["The heron", SAMPLE], 70, length=3)
    assert many[:70] == texts(model, ["The heron"], 70, length=3)
    assert many[70] == texts(model, [SAMPLE], length=3)[0]


def test_greedy_does_not_depend_on_the_seed(model: LanguageModel) -> None:
    greedy = texts(model, PROMPTS, sampling=GREEDY)
    assert texts(model, PROMPTS, sampling=GREEDY, seed=77) == greedy
    assert texts(model, PROMPTS, sampling=SamplingOptions(top_k=1)) == greedy
    (one, two) = texts(model, ["The"], 2, sampling=GREEDY)
    assert one == two
    (longer,) = texts(model, ["The"], sampling=GREEDY, length=40)
    assert longer.text.startswith(one.text)


def test_the_unknown_word_is_never_produced() -> None:
    bird = parrot("char", "né 你 ж né")  # ж is unknown
    assert bird.tokenizer.unk_id is not None
    found = bird.generate("", length=6)[0].text
    assert "<unk>" not in found
    assert found[:5] == "né 你 "
    assert found[5] != "ж"


def test_a_repeated_token_is_penalised() -> None:
    bird = parrot(text="aaaa")
    sampling = SamplingOptions(temperature=0, repetition_penalty=1e5)
    options = GenerationOptions(length=3, sampling=sampling)
    (found,) = generate(cast(LanguageModel, bird), [""], options)
    assert found.text[0] == "a"
    assert "a" not in found.text[1:]
    # Tokens of the prompt count too.
    (found,) = generate(cast(LanguageModel, bird), ["a"], options)
    assert "a" not in found.text


# Stopping


@pytest.mark.parametrize("kind", ["bpe", "byte", "char", "word"])
def test_stop_across_tokens(kind: str) -> None:
    text = "the heron counted the boats"
    bird = parrot(kind, text)
    # After a word, the first subword begins with a space.
    prompt, space = ("x", " ") if kind == "bpe" else ("", "")
    for stop in ("ron", "n c", "d the b", "oats", "boats", "t"):
        (found,) = bird.generate(prompt, length=99, stop=("never", stop))
        wanted = space + text[: text.index(stop)]
        assert (found.text, found.finish_reason) == (wanted, "stop")
        assert 0 < found.tokens <= bird.tokens
    # The stop string that comes first in the text counts, not the first one in the options.
    (found,) = bird.generate(prompt, length=99, stop=("boats", "counted"))
    assert found.text == f"{space}the heron "
    (found,) = bird.generate(prompt, length=99, stop=("ted", "oun"))
    assert found.text == f"{space}the heron c"
    # Across the end of a line, into the next repetition.
    (found,) = bird.generate(prompt, length=99, stop=("s\nthe h",))
    assert found.text == space + text[:-1]


def test_an_incomplete_stop_string_is_part_of_the_text() -> None:
    bird = parrot(text="the heron")
    (found,) = bird.generate("", length=bird.tokens, stop=("heron!", "n\nx", "ro~"))
    assert (found.text, found.finish_reason) == ("the heron", "length")
    pieces = [
        piece
        for _, piece in stream(
            cast(LanguageModel, bird), [""], GenerationOptions(9, GREEDY, ("herx", "heron!"))
        )
    ]
    assert "".join(piece.text for piece in pieces) == "the heron"
    # It is buffered until it cannot become a stop string.
    assert [piece.text for piece in pieces] == ["t", "he ", "heron"]


def test_a_stop_string_in_the_prompt_does_not_stop() -> None:
    bird = parrot(text="abc")
    (found,) = bird.generate("xyz b", length=3, stop=("b",))
    assert (found.text, found.finish_reason) == ("a", "stop")
    (found,) = bird.generate("ab", length=3, stop=("ba",))
    assert found.text == "abc"


def test_reasons_to_finish() -> None:
    bird = parrot(text="abc")
    (found,) = bird.generate("", length=9)
    assert found == Generation("", "abc\nabc\na", 9, "length")
    (found,) = bird.generate("", length=9, single_line=True)
    assert found == Generation("", "abc", 3, "end")
    (found,) = bird.generate("", length=3, single_line=True)
    assert found == Generation("", "abc", 3, "length")
    (found,) = bird.generate("", length=9, single_line=True, stop=("c",))
    assert found == Generation("", "ab", 3, "stop")
    # Text that was buffered when the line ended belongs to the text.
    (found,) = bird.generate("", length=9, single_line=True, stop=("cd",))
    assert found == Generation("", "abc", 3, "end")


def test_no_length(model: LanguageModel) -> None:
    found = texts(model, [SAMPLE, ""], 2, length=0)
    assert found == [Generation(prompt, "", 0, "length") for prompt in (SAMPLE, SAMPLE, "", "")]
    assert texts(model, []) == []


def test_invalid_options() -> None:
    for options, part in (
        ({"length": -1}, "--length"),
        ({"stop": ("a", "")}, "--stop"),
        ({"seed": -1}, "--seed"),
    ):
        with pytest.raises(UsageError, match=part):
            GenerationOptions(**options)  # type: ignore[arg-type]


# Streaming


@pytest.mark.parametrize("kind", ["bpe", "byte"])
def test_pieces_are_whole_characters(kind: str) -> None:
    bird = parrot(kind, SAMPLE)
    prompt, space = ("x", " ") if kind == "bpe" else ("", "")
    assert bird.tokens > len(SAMPLE) / 2
    pieces = [
        piece
        for _, piece in stream(
            cast(LanguageModel, bird), [prompt], GenerationOptions(2 * bird.tokens + 1, GREEDY)
        )
    ]
    assert "".join(piece.text for piece in pieces) == f"{space}{SAMPLE}\n{SAMPLE}"
    assert not any("\ufffd" in piece.text for piece in pieces)
    assert all(piece.text for piece in pieces[:-1])
    counts = [piece.tokens for piece in pieces]
    assert counts == sorted(set(counts))
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1] == TextChunk(pieces[-1].text, 2 * bird.tokens + 1, "length")


def test_a_character_that_is_cut_off_is_left_out() -> None:
    bird = parrot(text="a🙂")
    (found,) = bird.generate("", length=4)
    assert found == Generation("", "a", 4, "length")
    (found,) = bird.generate("", length=5)
    assert found.text == "a🙂"
    # What was held for a stop string is not.
    (found,) = bird.generate("", length=4, stop=("a!",))
    assert found.text == "a"


@pytest.mark.parametrize(
    "sampling", [PLAIN, WARM, GREEDY, SamplingOptions(top_p=0.9, repetition_penalty=1.3)]
)
@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_every_text_is_of_whole_characters(kind: str, sampling: SamplingOptions) -> None:
    """Random weights draw bytes in any order, nearly all of which are no text."""
    model = fixed_language_model(kind)
    found = texts(model, [SAMPLE, "", "é"], 3, sampling=sampling, length=60)
    assert not any("\ufffd" in text.text for text in found)
    longest = [len(text.text.encode()) for text in found]
    if kind == "byte":
        # Nothing is left out but the beginning of a last character.
        assert {text.tokens for text in found} == {60}
        assert all(60 - 3 <= size <= 60 for size in longest)
    else:
        assert all(size > 60 for size in longest)
    if sampling is not GREEDY:
        assert any(not text.text.isascii() for text in found)
    stepping = fixed_language_model(kind, with_sampler=False)
    assert texts(stepping, [SAMPLE, "", "é"], 3, sampling=sampling, length=60) == found


def test_a_token_that_fits_is_as_probable_as_the_model_says() -> None:
    """Among those that fit."""
    bird = parrot(text="x")
    ids = {byte: bird.tokenizer.encode([chr(byte)])[0] for byte in b"ab"}
    (held,), second = bird.tokenizer.encode(["é"])[0][:1], bird.tokenizer.encode(["é"])[0][1]
    logits = np.full((1, bird.tokenizer.vocab_size), -np.inf, np.float32)
    logits[0, ids[ord("a")]] = np.log(6)
    logits[0, second], logits[0, held] = np.log(3), np.log(1)

    class Fixed(Parrot):
        def step(self, ids: Array, state: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
            return np.repeat(logits, len(ids), axis=0), state

    fixed = cast(LanguageModel, Fixed(bird.tokenizer, "x"))
    options = GenerationOptions(1, SamplingOptions())
    found = [text.text for text in generate(fixed, [""], options, 1500)]
    # At the beginning of a character the second byte of é does not fit: 6 against 1.
    assert set(found) == {"a", ""}
    assert abs(found.count("a") / 1500 - 6 / 7) < 0.03
    options = GenerationOptions(2, SamplingOptions())
    found = [text.text for text in generate(fixed, [""], options, 1500)]
    assert set(found) == {"aa", "a", "é"}
    assert abs(found.count("é") / 1500 - 1 / 7) < 0.03


def test_the_pieces_of_a_stream_join_to_the_generated_texts(model: LanguageModel) -> None:
    options = GenerationOptions(40, WARM, ("e",), seed=8)
    joined: dict[int, str] = {}
    for number, piece in stream(model, PROMPTS, options, 2):
        joined[number] = joined.get(number, "") + piece.text
    assert [joined[n] for n in range(12)] == [f.text for f in generate(model, PROMPTS, options, 2)]


def test_spaces_after_the_prompt() -> None:
    """There is a space between words, and none at the start of a line."""
    bird = parrot("word", "the heron")
    for prompt, text in (("", "the heron"), ("a", " the heron"), ("a\n", "the heron")):
        (found,) = bird.generate(prompt, length=2)
        assert found.text == text


@pytest.mark.parametrize("prompt", ["", "the boats\n"])
@pytest.mark.parametrize("kind", ["bpe", "byte", "char", "word"])
def test_a_text_may_begin_where_a_line_does(kind: str, prompt: str) -> None:
    """The model has read nothing of that line, and its first word has no space before it."""
    bird = parrot(kind, "the heron")
    (found,) = bird.generate(prompt, length=bird.tokens)
    assert found.text == "the heron"
    lines = bird.tokenizer.encode_lines(prompt.split("\n")[:-1])
    whole = [token for line in lines for token in line.tolist()]
    assert bird.prompt == [bird.tokenizer.eos_id, *whole]


# The sampling graph


def test_the_sampling_graph_gives_the_texts_of_stepping_and_choosing(model: LanguageModel) -> None:
    """Also where some texts end before the last token of a call."""
    stepping = fixed_language_model(with_sampler=False)
    assert model.graph_sampler() is not None
    assert stepping.graph_sampler() is None
    options: dict[str, Any] = {"sampling": PLAIN, "length": 70}
    for more in ({}, {"stop": ("ed", "\n")}, {"single_line": True}):
        sampled = texts(model, PROMPTS, 3, **options, **more)
        assert sampled == texts(stepping, PROMPTS, 3, **options, **more)
        reasons = {found.finish_reason for found in sampled}
        assert "length" in reasons
        assert (len(reasons) > 1) == bool(more)
        assert len({found.tokens for found in sampled}) > 1 or not more


@pytest.mark.parametrize("short", [0.0, 1e9])
def test_a_text_does_not_depend_on_the_number_of_tokens_per_call(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, short: float
) -> None:
    """One token in each call if calls are slow."""
    wanted = texts(model, PROMPTS, sampling=PLAIN, stop=("ed",))
    monkeypatch.setattr("rnntext.runtime.generate._SHORT_CALL", short)
    counts: list[int] = []
    sample = GraphSampler.sample

    def counted(self: GraphSampler, last: Array, state: State, uniforms: Array, *more: Any) -> Any:
        if len(last) > 1:  # not of a text of which a token was drawn again
            counts.append(len(uniforms))
        return sample(self, last, state, uniforms, *more)

    monkeypatch.setattr(GraphSampler, "sample", counted)
    assert texts(model, PROMPTS, sampling=PLAIN, stop=("ed",)) == wanted
    assert counts == [1] * 25 if short == 0 else counts == [1, 2, 4, 8, 10]


@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 40])
def test_a_sampled_text_has_its_length(model: LanguageModel, length: int) -> None:
    found = texts(model, PROMPTS, sampling=PLAIN, length=length)
    assert {(text.tokens, text.finish_reason) for text in found} == {(length, "length")}
    longer = texts(model, PROMPTS, sampling=PLAIN, length=length + 5)
    for text, more in zip(found, longer, strict=True):
        assert more.text.startswith(text.text)


def test_a_checkpoint_without_the_graph_steps(lm: Path, tmp_path: Path) -> None:
    found = checkpoint.load(lm)
    files = {name: found.file(name) for name in found.config["files"]}
    assert files.pop(checkpoint.GENERATION)
    checkpoint.save(tmp_path / "m", files, found.config, force=False)
    older = LanguageModel.load(tmp_path / "m", threads=1)
    assert older.graph_sampler() is None
    newer = LanguageModel.load(lm, threads=1)
    assert newer.graph_sampler() is not None
    assert texts(older, PROMPTS, sampling=PLAIN) == texts(newer, PROMPTS, sampling=PLAIN)


@pytest.mark.parametrize("small", [0, held_file._SMALL])
@pytest.mark.parametrize("deleted", [False, True])
def test_an_open_model_stays_what_it_was(
    lm: Path, tmp_path: Path, deleted: bool, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its graphs are opened after its directory has got another model, or was deleted."""
    monkeypatch.setattr(held_file, "_SMALL", small)
    directory = tmp_path / "m"
    shutil.copytree(lm, directory)
    model = LanguageModel.load(directory, threads=1, when_needed=True)
    if deleted:
        shutil.rmtree(directory)
    else:
        found = checkpoint.load(directory)
        files = dict.fromkeys(found.config["files"], b"another")
        checkpoint.save(directory, files, found.config, force=True)
    original = LanguageModel.load(lm, threads=1)
    assert model.graph_sampler() is not None
    assert texts(model, PROMPTS, sampling=PLAIN) == texts(original, PROMPTS, sampling=PLAIN)
    filtered = replace(PLAIN, top_k=3)  # by the main graph
    assert texts(model, PROMPTS, sampling=filtered) == texts(original, PROMPTS, sampling=filtered)


def test_a_model_that_does_not_sample_keeps_no_graph_for_it(lm: Path) -> None:
    assert LanguageModel.load(lm, threads=1, samples=False).graph_sampler() is None


def test_threads_open_one_graph(lm: Path) -> None:
    model = LanguageModel.load(lm, threads=1, when_needed=True)
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda _: model._model.generation(), range(8)))
    assert len({id(session) for session in sessions}) == 1


@pytest.mark.parametrize(
    ("name", "more", "other"),
    [("generation.onnx", (), ("--top-k", 5)), ("model.onnx", ("--top-k", 5), ())],
)
def test_only_the_graph_that_is_used_is_opened(
    run: Shell, lm: Path, tmp_path: Path, name: str, more: tuple[object], other: tuple[object]
) -> None:
    """If it is damaged, the error comes before the prompt is printed."""
    directory = tmp_path / "m"
    shutil.copytree(lm, directory)
    content = bytearray((directory / name).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / name).write_bytes(content)
    command = ("generate", "-m", directory, "The", "--length", 3)
    failed = run(*command, *more)
    failed.failed(1, f"{name} is damaged")
    assert failed.out == b""
    assert run(*command, *other).text.startswith("The")


def test_chunks_are_sorted_by_text() -> None:
    pieces = [
        (1, TextChunk("b1", 1)),
        (0, TextChunk("a1", 1)),
        (2, TextChunk("c1", 1, "end")),
        (1, TextChunk("b2", 2, "stop")),
        (0, TextChunk("a2", 2, "length")),
        (3, TextChunk("d1", 1)),
        (4, TextChunk("e1", 1, "end")),
        (3, TextChunk("d2", 2, "end")),
    ]
    given = iter(pieces)
    found = sort_by_text(given)
    # Chunks of the first text are not delayed until the others are finished.
    assert next(found) == (0, TextChunk("a1", 1))
    assert next(given)[0] == 2
    assert [(number, piece.text) for number, piece in sort_by_text(pieces)] == [
        (0, "a1"), (0, "a2"), (1, "b1"), (1, "b2"), (2, "c1"), (3, "d1"), (3, "d2"), (4, "e1"),
    ]  # fmt: skip
    assert list(sort_by_text([])) == []


# Through the command line


def test_samples_and_prompts_on_the_command_line(run: Shell, lm: Path) -> None:
    args = ("generate", "-m", lm, "--threads", "1", "--seed", "1", "-n", "10", "--json")
    samples = run(*args, "--num-samples", "3", "The heron").done().objects
    assert run(*args, "The heron").done().objects == samples[:1]
    plain = run(*args[:-1], "--num-samples", "3", "The heron").done().text
    assert plain == "\n".join(f"The heron{found['text']}\n" for found in samples)
    story = (CORPORA / "stories.txt").read_text("utf-8").split("\n")
    prompts = ["", story[1], "A", SAMPLE]
    stdin = "".join(f"{prompt}\n" for prompt in prompts).encode()
    found = run(*args, "--record", "line", stdin=stdin).done().objects
    for prompt, one in zip(prompts, found, strict=True):
        alone = run(*args, "--record", "line", stdin=f"{prompt}\n".encode()).done().objects
        assert alone == [one]
