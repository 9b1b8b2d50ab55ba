"""Measures a tagger on raw text: whether it finds the words, and their tags.

Knows: that each sentence's text is given to the tagger as a line. Does not know: how words are
counted (`raw_text_metrics.py`), or how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnntext.errors import DataError
from rnntext.raw_text_metrics import RawTextCounts, placed_words
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.tagger import RAW_METRICS, TaggedSentence, Tagger
from rnntext.text.formats import DataOptions
from rnntext.text.raw_text import RawText, Token, place_tokens
from rnntext.text.source import source_name
from rnntext.text.tagged import read_tagged


def evaluate_raw(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> dict[str, Any]:
    """Return RAW_METRICS of a tagger on the texts of CoNLL-U files, and the number of words.

    Each sentence is given as a line, which is one sentence to the tagger: it misses none. Raises
    DataError for a sentence of which the data do not say how it is written.
    """
    gold = list(read_tagged(paths, options))
    texts = []
    for sentence in gold:
        if sentence.raw is None:
            raise DataError(
                f"{source_name(sentence.source)}, line {sentence.line}: --raw needs the text of "
                "each sentence: give CoNLL-U with `# text`, whose tokens are those of the text"
            )
        texts.append(sentence.raw.text)
    counts = RawTextCounts()
    for sentence, found in zip(gold, Tagger(model).tag(texts), strict=True):
        assert sentence.raw is not None  # noqa: S101
        counts.add(
            placed_words(sentence.raw, sentence.words),
            placed_words(_written(found), found.words),
            sentence.tags,
            found.tags,
        )
    values = (counts.words_f1, counts.sentences_f1, counts.tags_f1)
    return {**dict(zip(RAW_METRICS, values, strict=True)), "words": counts.gold_words}


def _written(sentence: TaggedSentence) -> RawText:
    """Return where the words stand: those of the rule are all tokens of the text."""
    if sentence.raw is not None:
        return sentence.raw
    found = place_tokens(sentence.text, [Token(word, 1, True) for word in sentence.words])
    assert found is not None  # noqa: S101
    return found
