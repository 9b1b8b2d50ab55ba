"""Repeating a run: its command line, and its options read from a `config.json`.

Knows: the options of a run and where a checkpoint stores them. Does not know: how a run is trained.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

from rnntext.checkpoint_config import NGRAMS_TEXTS, SPLITTER_SENTENCES, CheckpointConfig, Results
from rnntext.errors import CheckpointError, UsageError
from rnntext.training.declaration import declarations, flag_of
from rnntext.training.options import TrainingOptions


def repeated_options(config_file: Path) -> TrainingOptions:
    """Return the options that repeat the run described by a checkpoint's `config.json`.

    A run that was given minutes is repeated with the number of steps that it took. Raises
    UsageError, which names the file, if it cannot be read or describes no run, and for a value that
    is not valid.
    """
    try:
        content = json.loads(config_file.read_text("utf-8"))
        if not isinstance(content, dict) or "training" not in content:
            raise ValueError("not the description of a run")
        config = CheckpointConfig(config_file, content)
        training, data, results = config.training, config.data, config.results
    except OSError as error:
        raise UsageError(
            f"--config {config_file}: {error.strerror}; name a model's config.json"
        ) from None
    except CheckpointError as error:
        raise UsageError(f"--config: {error}") from None
    except (ValueError, RecursionError):
        raise UsageError(
            f"--config {config_file} is not a checkpoint's config.json: name the one in a "
            "model's directory"
        ) from None
    try:
        options = TrainingOptions.from_json(training.options)
        options = replace(options, part=data.part, unlabelled_part=data.unlabelled_part)
        if options.minutes is None:
            return options
        plans = results.plans if isinstance(results, Results) and len(results.plans) > 1 else ()
        halves = results.halves if isinstance(results, Results) else {}
        unanswered = training.distilled.unanswered if training.distilled else 0
        texts, steps = _whole(halves.get(NGRAMS_TEXTS)), results.steps
        return replace(
            options,
            minutes=None,
            steps=steps,
            plans=plans,
            ngrams_texts=texts,
            splitter_sentences=_whole(halves.get(SPLITTER_SENTENCES)),
            unlabelled_texts=training.unlabelled_texts(data),
            unanswered=unanswered or None,
        )
    except UsageError as error:
        raise UsageError(f"--config {config_file}: {error}") from None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def command_of(options: TrainingOptions, directory: Path) -> str:
    """Return the shell command that starts this run."""
    words = ["rnntext", "train", options.task, "-o", str(directory)]
    declared = declarations(TrainingOptions)
    for name, value in options.to_json().items():
        if name == "data" or not (declared[name].help_text or name == "threads"):
            continue
        if isinstance(value, list):
            words += [word for path in value for word in (flag_of(name), path)]
        elif isinstance(value, bool):
            words.append(flag_of(name) if value else flag_of("no-" + name))
        else:
            words += [flag_of(name), str(value)]
    # Without "--", a file name that begins with a dash would be parsed as a flag.
    dashed = any(name.startswith("-") and name != "-" for name in options.data)
    return shlex.join([*words, *(["--"] if dashed else []), *options.data])
