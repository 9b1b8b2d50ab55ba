"""Memory that loading and reading training data takes, which does not grow with the data."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MEMORY = """
    import json, os, resource, sys
    from pathlib import Path
    import torch
    from rnntext.training.data import example_split, prepare, text_split
    from rnntext.training.options import TrainingOptions
    from rnntext.training.data.loading import load_data
    from rnntext.training.engine.device import choose_machine
    from rnntext.training.engine.distributed import SINGLE_PROCESS
    from rnntext.training.tasks.base import get_task

    task, folder = sys.argv[1], Path(sys.argv[2])
    # Bounds that little data reaches: beyond them nothing may grow.
    prepare.CHUNK, prepare.VALID_EXAMPLES, prepare.VALID_CHARACTERS = 1000, 500, 40_000
    example_split.MAX_IN_MEMORY, text_split.MAX_UNITS = 1 << 12, 1 << 11
    machine = choose_machine("cpu", 1)

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    def measure(megabytes):
        label = {"classify": "__label__%d ", "lm": ""}[task]
        path = folder / str(megabytes)
        with open(path, "w", encoding="utf-8") as file:
            for number in range(megabytes * 10_000):
                start = label % (number % 2) if label else ""
                file.write(f"{start}{number:09} naïve café 你好 🙂 " + "and so on" * 7 + "\\n")
        options = TrainingOptions(task, (str(path),), tokenizer="byte", batch_size=32)
        before = peak()
        learned = get_task(task)
        data = load_data(learned, options, keep=True)
        recipe = learned.choose_recipe(options, 1000, 1000)
        objective = learned.objective(options, data, None, recipe, machine, SINGLE_PROCESS)
        for number, _ in enumerate(objective.batches(0)):
            if number == 400:
                break
        return data.encoded.size, peak() - before

    # A process for each size, because the peak of a process never falls.
    for megabytes in (2, 8):
        child = os.fork()
        if child == 0:
            print(json.dumps(measure(megabytes)), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("task", ["lm", "classify"])
def test_memory_does_not_grow_with_the_data(task: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), task, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (little, before), (much, after) = map(json.loads, ran.stdout.splitlines())
    assert little > 2 * 1.8e6
    assert much > 8 * 1.8e6
    # 67 bytes a line; the text of one and its ids are longer. Measured: 0.1 to 1.7 MB.
    assert after - before < 4
