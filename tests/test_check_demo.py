"""The script by which CI checks the output of `rnntext demo`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "check_demo.py"
OUTPUT = """
A language model of stories from a harbour town
  $ rnntext train lm stories.txt --tokenizer word --minutes 0.9 --seed 1 -o lm
  perplexity 59.2 on text it has not seen

  $ rnntext generate -m lm "The heron" -n 70 --temperature 0.6 --seed 3
  The heron was a rowing man of the bakery.
  He had been held in the Bread.

  $ rnntext generate -m lm "Mara said" -n 70 --temperature 0.6 --seed 3
  Mara said the end of the town to be the lamp.


A classifier of reviews
  $ rnntext train classify reviews.csv --tokenizer word --minutes 0.4 --seed 1 -o classify
  accuracy 65.8% on text it has not seen

  $ rnntext classify -m classify --with-text
  pos\t0.8065\tA warm and funny book. I enjoyed every page.
  neg\t0.8472\tThe soup was cold and the service was poor.
  neg\t0.5148\tI expected to hate it and did not.
  neg\t1.0000\tIt could have been wonderful and was not.


A tagger of parts of speech
  $ rnntext train tag tagged.conllu --tokenizer bpe --minutes 0.3 --seed 1 -o tag
  accuracy 87.5% on text it has not seen

  $ rnntext tag -m tag
  Captain/PROPN ca/AUX n't/PART light/VERB the/DET old/ADJ lamp/NOUN before/ADP he/PRON rows/VERB
  Water/VERB the/DET plant/NOUN ,/PUNCT and/CCONJ plant/VERB the/DET beans/NOUN by/ADP it/PRON 1/2/NUM
"""  # noqa: E501
LINES = OUTPUT.splitlines(keepends=True)
TEXT = LINES[6:8]  # one of two lines may be missing without harm
REQUIRED = [line for line in LINES if line.startswith("  ") and line not in TEXT]


def status(output: str) -> int:
    ran = subprocess.run(
        [sys.executable, SCRIPT], input=output, text=True, capture_output=True, check=False
    )
    return ran.returncode


def test_an_output_that_shows_all_models_is_accepted() -> None:
    assert status(OUTPUT) == 0


@pytest.mark.parametrize("line", REQUIRED)
def test_an_output_that_lacks_a_command_or_an_answer_is_refused(line: str) -> None:
    assert status("".join(other for other in LINES if other != line)) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("".join(TEXT), "  The heron\n"),
        ("Mara said the end", "The end"),
        ("pos\t", "good\t"),
        ("\t0.8472", "\t0.4999"),
        ("/PROPN", "/NAME"),
        ("perplexity 59.2", "perplexity nan"),
        ("accuracy 87.5%", "perplexity 87.5%"),
    ],
)
def test_an_answer_of_another_form_is_refused(old: str, new: str) -> None:
    assert OUTPUT.count(old) == 1
    assert status(OUTPUT.replace(old, new)) == 1
