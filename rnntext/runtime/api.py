"""The object that `rnntext.load` returns: a trained model with a method for each command.

Knows: which methods a model of each task has. Does not know: how they work, or the command line.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnntext.arguments import PROBABILITY, THREADS, TOP_K, check_path
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.packaged import locate_model
from rnntext.runtime.model import TrainedModel, call_once, open_model
from rnntext.tasks import TASKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rnntext.runtime.arrow_batches import BatchAnswers, ModelSource
    from rnntext.runtime.classifier import Classification
    from rnntext.runtime.generate import Generation, GenerationOptions
    from rnntext.runtime.predict import Predictions
    from rnntext.runtime.score import LineScore
    from rnntext.runtime.tagger import TaggedSentence


def load(directory: str | Path, *, threads: int | None = None) -> Runtime:
    """Open a trained model. `threads`: None means all cores that the process may use.

    `demo:reviews`, `demo:stories` and `demo:tags` are the models that the package carries.

    Raises CheckpointError if the directory holds no model, or a damaged one, and UsageError for an
    empty path and for a number of threads that is out of its range.
    """
    check_path("directory", directory, "DIR")
    if threads is not None:
        THREADS.check("threads", threads)
    return Runtime(locate_model(directory), threads)


class Runtime:
    """A trained model of any task. It is thread-safe. It stays what it was when it was loaded,
    whatever becomes of the directory. Its pickle holds the path of the directory, from which it is
    loaded again: CheckpointError if that holds another model by then.

    Results are the same as those of the commands, in the order of the texts. The result of a text
    does not depend on the other texts of the call. A method raises UsageError if the model is of
    another task.
    """

    def __init__(self, directory: Path, threads: int | None = None) -> None:
        self.directory = directory.absolute()
        self._threads = threads
        self._model = open_model(directory, threads=threads, samples=True, weights=True)

    @cached_property
    def _intra_op_model(self) -> TrainedModel:
        """The model with a session that splits one run over all threads (intra-op), for texts
        that are read one step after the other."""
        return replace(
            self._model, open_session=call_once(self._model.session.with_intra_op_threads)
        )

    def __reduce__(self) -> tuple[Callable[..., Runtime], tuple[Path, int | None, str]]:
        return (_load_again, (self.directory, self._threads, self._model.fingerprint))

    def __repr__(self) -> str:
        return f"<{TASKS[self.task].title} {self.directory}>"

    @property
    def task(self) -> str:
        """The task: lm, classify or tag."""
        return self._model.config.task

    @property
    def config(self) -> ModelConfig:
        """The configuration of the network: its encoder and its labels."""
        return self._model.config

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Return the labels of each text with their probabilities."""
        texts = self._require("classify", texts)
        from rnntext.runtime.classifier import Classifier

        return Classifier(self._model).classify(texts)

    def tag(
        self, texts: Sequence[str], *, pretokenized: bool = False, by_rule: bool = False
    ) -> list[TaggedSentence]:
        """Return the words of each text, which is one sentence, with their tags. `pretokenized`:
        the words are separated by spaces; `by_rule`: they are split by the rule, even if the model
        has learned to split text."""
        texts = self._require("tag", texts)
        from rnntext.runtime.tagger import Tagger

        return Tagger(self._model).tag(texts, pretokenized=pretokenized, by_rule=by_rule)

    def generate(
        self,
        prompts: Sequence[str] = ("",),
        *,
        length: int = 200,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        num_samples: int = 1,
        stop: Sequence[str] = (),
        single_line: bool = False,
        seed: int | None = None,
    ) -> list[Generation]:
        """Return `num_samples` continuations of each prompt, of at most `length` tokens. The same
        `seed` gives the same texts; None: a random seed."""
        prompts = self._require("lm", prompts, "prompts")
        from rnntext.runtime.generate import GenerationOptions, generate
        from rnntext.runtime.language_model import LanguageModel
        from rnntext.runtime.sampling import SamplingOptions

        sampling = SamplingOptions(temperature, top_k, top_p, min_p, repetition_penalty)
        seed = secrets.randbits(32) if seed is None else seed
        options = GenerationOptions(length, sampling, tuple(stop), single_line, seed)
        return list(generate(LanguageModel(self._intra_op_model), prompts, options, num_samples))

    def stream(self, prompt: str = "", options: GenerationOptions | None = None) -> Iterator[str]:
        """Yield a continuation in pieces, each as soon as its characters are complete. `options`:
        None means the defaults of `generate`."""
        self._require("lm", (prompt,), "prompt")
        from rnntext.runtime.generate import GenerationOptions, stream
        from rnntext.runtime.language_model import LanguageModel
        from rnntext.runtime.sampling import SamplingOptions

        if options is None:
            sampling = SamplingOptions(temperature=0.8)
            options = GenerationOptions(sampling=sampling, seed=secrets.randbits(32))
        for _, piece in stream(LanguageModel(self._intra_op_model), [prompt], options):
            yield piece.text

    def predict(
        self, texts: Sequence[str], *, top_k: int = 5, complete: bool = False
    ) -> list[Predictions]:
        """Return the most probable next words of each text; with `complete` only words that begin
        with the letters at the end of the text."""
        texts = self._require("lm", texts)
        from rnntext.runtime.language_model import LanguageModel
        from rnntext.runtime.predict import Predictor

        predictor = Predictor(LanguageModel(self._model))
        return predictor.predict(texts, top_k=top_k, complete=complete)

    def score(
        self, texts: Sequence[str], *, words: bool = False, carry: bool = False
    ) -> list[LineScore]:
        """Return the surprisal of each text, with `words` also of each of its words. `carry`: the
        hidden state is carried from one text to the next."""
        texts = self._require("lm", texts)
        from rnntext.runtime.language_model import LanguageModel
        from rnntext.runtime.score import Scorer

        model = LanguageModel(self._intra_op_model if carry else self._model)
        return Scorer(model, carry=carry).score(texts, words=words)

    def embed(self, texts: Iterable[str], *, pool: str = "mean") -> NDArray[Any]:
        """Return the vector of each text, (N, D) in float32: the hidden states of the last layer at
        its tokens, pooled by `pool`, one of mean, max and last. A model of any task has them."""
        from rnntext.runtime.embed import Embedder

        return Embedder(self._model, self._threads, pool).embed(_checked(texts))

    def batches(
        self,
        *,
        text_column: str | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        words: bool | None = None,
        pretokenized: bool | None = None,
        on_error: str = "fail",
    ) -> BatchAnswers:
        """Return a function that returns a batch of Arrow (`RecordBatch` or `Table`) with the
        columns of the answers, as `classify`, `score` or `tag` write them with `-o FILE.parquet`.

        It can be pickled, and opens the model once in a process, at its first call: engines such as
        Dask, Ray and Spark send it to their workers. `text_column`: None is `text`, of a tagger
        `words` if a batch has that. `top_k` and `threshold` are for classifiers, `words` for
        language models, `pretokenized` for taggers. `on_error`: what becomes of a row without a
        text, "fail", "null" (no answer, and a column `error`) or "skip". Its method `schema` gives
        the schema of what it returns for that of a batch. Needs pyarrow.
        """
        from rnntext.runtime.arrow_batches import BatchAnswers, ModelSource, check_options

        if top_k is not None:
            TOP_K.check("top_k", top_k)
        if threshold is not None:
            PROBABILITY.check("threshold", threshold)
        given = {
            "top_k": top_k, "threshold": threshold, "words": words, "pretokenized": pretokenized
        }  # fmt: skip
        options = check_options(self.config, given)
        source = ModelSource(self.directory, self._threads, self._model.fingerprint)
        return BatchAnswers(source, self._model, _open_again, options, text_column, on_error)

    def _require(self, task: str, texts: Iterable[str], name: str = "texts") -> list[str]:
        """Return the texts as a list. Raises UsageError for a model of another task, and TypeError,
        which names its place, for what is no text."""
        found = _checked(texts, name)
        if task != self.task:
            raise UsageError(
                f"{self.directory} is a {TASKS[self.task].title}, "
                f"and this needs a {TASKS[task].title}"
            )
        return found


def _checked(texts: Iterable[str], name: str = "texts") -> list[str]:
    if isinstance(texts, str):
        raise TypeError("give a list of texts, not one text")
    found = list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            kind = "" if text is None else f", of type {type(text).__name__}"
            raise TypeError(
                f"{name}[{place}] is {text!r:.60}{kind}, not a text: make it a string, or leave it "
                "out"
            )
    return found


def _open_again(source: ModelSource) -> TrainedModel:
    return _load_again(source.directory, source.threads, source.fingerprint)._model


def _load_again(directory: Path, threads: int | None, fingerprint: str) -> Runtime:
    runtime = Runtime(directory, threads)
    if runtime._model.fingerprint != fingerprint:
        raise CheckpointError(
            f"{directory} holds another model than the one that was pickled: pickle that one"
        )
    return runtime
