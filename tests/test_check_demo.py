"""The script by which CI checks the output of `rnntext demo`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "check_demo.py"
SHOWN = {
    "lm": """
  $ rnntext generate -m {0} "The heron" -n 70 --temperature 0.6 --seed 1
  The heron was a rowing man of the bakery.
  He had been held in the Bread.

  $ rnntext generate -m {0} "Mara said" -n 70 --temperature 0.6 --seed 1
  Mara said the end of the town to be the lamp.

  $ rnntext predict -m {0} -k 3 --text "The heron stood in the"
  harbour\t0.0164\tend\t0.0154\tmill\t0.0145
""",
    "classify": """
  $ rnntext classify -m {0} --text "A warm and funny book. I enjoyed every page."
  pos\t0.8065
  $ rnntext classify -m {0} --text "The soup was cold and the service was poor."
  neg\t0.8472
  $ rnntext classify -m {0} --text "I expected to hate it and did not."
  neg\t0.5148
  $ rnntext classify -m {0} --text "It could have been wonderful and was not."
  neg\t1.0000
""",
    "tag": """
  $ rnntext tag -m {0} --text "Captain Quill can't light the old lamp before he rows."
  Captain\tPROPN
  Quill\tPROPN
  ca\tAUX
  n't\tPART
  light\tVERB
  the\tDET
  old\tADJ
  lamp\tNOUN
  before\tADP
  he\tPRON
  rows\tVERB
  $ rnntext tag -m {0} --text "Water the plant, and plant the beans by 1/2."
  Water\tVERB
  the\tDET
  plant\tNOUN
  ,\tPUNCT
  and\tCCONJ
  plant\tVERB
  the\tDET
  beans\tNOUN
  by\tADP
  1/2\tNUM
  .\tPUNCT
""",
}
RESULTS = {
    "lm": "perplexity 59.2 on text it has not seen",
    "classify": "accuracy 65.8% on text it has not seen",
    "tag": "accuracy 87.5% on text it has not seen",
}
PACKAGED = "".join(
    f"\n{task}\n  demo:{task}, 0.8 MB, {RESULTS[task]}\n{text.format('demo:' + task)}"
    for task, text in SHOWN.items()
)
TRAINED = "".join(
    f"\n{task}\n  $ rnntext train {task} FILE --seed 1 -o {task}\n"
    f"  {RESULTS[task]}\n{text.format(task)}"
    for task, text in SHOWN.items()
)
OUTPUTS = {"packaged": PACKAGED, "trained": TRAINED}
LACKED = [
    (kind, line)
    for kind, output in OUTPUTS.items()
    for line in output.splitlines(keepends=True)
    # One of two lines of a text, or of a sentence's words, may be missing without harm.
    if line.startswith("  ") and "The heron was" not in line and "He had" not in line
    if not line.rpartition("\t")[2].rstrip().isupper()
]


def status(output: str, kind: str = "packaged") -> int:
    ran = subprocess.run(
        [sys.executable, SCRIPT, kind], input=output, text=True, capture_output=True, check=False
    )
    return ran.returncode


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_that_shows_all_models_is_accepted(kind: str) -> None:
    assert status(OUTPUTS[kind], kind) == 0
    (other,) = OUTPUTS.keys() - {kind}
    assert status(OUTPUTS[kind], other) == 1


@pytest.mark.parametrize(("kind", "line"), LACKED)
def test_an_output_that_lacks_a_command_or_an_answer_is_refused(kind: str, line: str) -> None:
    lines = OUTPUTS[kind].splitlines(keepends=True)
    assert status("".join(other for other in lines if other != line), kind) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "  The heron was a rowing man of the bakery.\n  He had been held in the Bread.",
            "  The heron",
        ),
        ("Mara said the end", "The end"),
        ("pos\t", "good\t"),
        ("\t0.8472", "\t0.4999"),
        ("Quill\tPROPN", "Quill\tNAME"),
        ("harbour\t0.0164", "harbour\t0.0134"),
        ("perplexity 59.2", "perplexity nan"),
        ("accuracy 87.5%", "perplexity 87.5%"),
    ],
)
def test_an_answer_of_another_form_is_refused(old: str, new: str) -> None:
    assert PACKAGED.count(old) == 1
    assert status(PACKAGED.replace(old, new)) == 1
