"""What a run has before its first step: data, recipe, network and objective.

Knows: in which order they are made, which process reads the data, and what the runs of a search
share. Does not know: any one task, steps (`run.py`), or what is saved.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rnntext.checkpoint_config import DataSummary
from rnntext.config import EncoderConfig, ModelConfig, usable_cores
from rnntext.errors import UsageError
from rnntext.packaged import locate_model
from rnntext.text.source import source_name
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.buffering import is_non_seekable
from rnntext.training.data.loading import Data, load_data
from rnntext.training.data.prepare import ShareSpent
from rnntext.training.engine.device import Machine, choose_machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.events import Prepared
from rnntext.training.memory_needs import require_batch_memory, require_model_memory
from rnntext.training.networks.encoder import Network
from rnntext.training.networks.size import network_size
from rnntext.training.options import BOTH, TrainingOptions
from rnntext.training.persistence.pretrained import PretrainedEncoder
from rnntext.training.persistence.resume import SavedRun
from rnntext.training.recipes import Recipe
from rnntext.training.tasks.base import Task, TaskObjective, get_task

# A share of the validation tokens.
_MANY_UNKNOWN = 0.1


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that a run needs before its first step."""

    options: TrainingOptions
    task: Task[Any]
    data: Data[Any]
    model: Network
    objective: TaskObjective
    recipe: Recipe
    machine: Machine
    prepared: Prepared

    @property
    def validation_digest(self) -> str:
        return self.task.validation_digest(self.data.examples)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the runs of a search share, so that none of them reads the data again."""

    data: Data[Any]
    files: Mapping[str, bytes]  # the linear model that was learned from them, for `prepare`
    published: Path  # the directory that the model card names
    is_trial: bool = False


def set_up(
    options: TrainingOptions,
    began: float | None,
    cache: bool,
    saved_run: SavedRun | None = None,
    ranks: Ranks = SINGLE_PROCESS,
    shared: Shared | None = None,
) -> Setup:
    """Read the data and build the model of a run. `began`: see `run`; None: there is time for all
    of the data. Raises RnntextError."""
    task = get_task(options.task)
    task.check(options, ranks)
    threads = options.threads or max(1, usable_cores() // ranks.local_size)
    machine = choose_machine(options.device, threads)
    init = None
    if options.init is not None and saved_run is None:
        init = PretrainedEncoder.load(locate_model(options.init), options)
    tokenizer = init.tokenizer if init else None
    if saved_run is not None:
        tokenizer = saved_run.tokenizer
    # A resumed run reads the data that it began with, however late it is.
    spent = _share_spent(None if saved_run is not None else options.minutes, began)
    data = shared.data if shared else _load(task, options, tokenizer, spent, cache, ranks)
    recipe, config = _choose_model(task, options, data, init, saved_run)
    size = network_size(config)
    require_model_memory(size, options, recipe, machine)
    torch.manual_seed(options.seed)
    model = task.build_network(config, recipe)
    if init is not None:
        init.copy_weights(model)
    model.to(machine.device)
    if not ranks.is_main:
        # Each rank draws other dropout masks.
        torch.manual_seed(options.seed + ranks.rank)
    objective = task.objective(options, data, config, recipe, machine, ranks)
    require_batch_memory(size, options, objective, machine, ranks)
    prepared = Prepared(
        summary=data.summary,
        encoded=data.encoded,
        model=config,
        tokenizer=data.tokenizer.config.kind,
        parameters=sum(p.numel() for p in model.parameters()),
        recipe=recipe,
        steps_per_epoch=objective.steps_per_epoch,
        machine=str(machine),
        threads=threads,
        processes=ranks.size,
        details=objective.details(),
        remarks=(
            *tokenizer_remarks(data.tokenizer.config.kind, data.summary),
            *objective.remarks(),
        ),
        distilled=objective.distilled(),
    )
    return Setup(options, task, data, model, objective, recipe, machine, prepared)


def tokenizer_remarks(kind: str, summary: DataSummary) -> Iterator[str]:
    """Yield sentences about a tokenizer that does not suit the data."""
    if summary.lacks_spaces:
        yield (
            "the words of this text are not separated by spaces, and the tokenizer word takes what "
            "stands between spaces or signs for one: use --tokenizer char or bpe"
        )
    if summary.unknown_rate > _MANY_UNKNOWN:
        better = "bpe, char" if kind == "word" else "bpe"
        yield (
            f"{summary.unknown_rate:.0%} of the validation tokens are unknown to the tokenizer "
            f"{kind}: use --tokenizer {better} or byte, or a larger --vocab-size"
        )


def _share_spent(minutes: float | None, began: float | None) -> ShareSpent:
    """Return a function that tells which share of the time budget is spent; 0 without one."""
    if minutes is None or began is None:
        return lambda: 0.0
    return lambda: (time.perf_counter() - began) / (60 * minutes)


def _load(
    task: Task[Any],
    options: TrainingOptions,
    tokenizer: Tokenizer | None,
    spent: ShareSpent,
    cache: bool,
    ranks: Ranks,
) -> Data[Any]:
    """The data, prepared by rank 0. The other ranks use the same part of them where the time was
    short, and find on its machine the cache entry that it wrote."""
    sources = (*options.data, *filter(None, [options.valid]), *options.unlabelled)
    once = [source for source in sources if is_non_seekable(source)]
    if once and ranks.size > 1:
        raise UsageError(
            f"{source_name(once[0])} gives its text once, and {ranks.size} processes read it: "
            "save it as a file and name that"
        )
    loaded: list[Data[Any]] = []

    def load_first() -> list[int] | None:
        loaded.append(load_data(task, options, tokenizer, spent=spent, keep=cache))
        part = loaded[0].summary.part
        return None if part is None else list(part)

    part = ranks.broadcast(load_first)
    with ranks.local_rank_zero_first():
        if not ranks.is_main:
            if part is not None:
                options = replace(options, part=(part[0], part[1], part[2]))
            loaded.append(load_data(task, options, tokenizer, keep=cache))
    return loaded[0]


def _choose_model(
    task: Task[Any],
    options: TrainingOptions,
    data: Data[Any],
    init: PretrainedEncoder | None,
    saved_run: SavedRun | None,
) -> tuple[Recipe, ModelConfig]:
    """The recipe and the model's configuration: those of a saved run, or chosen by the data."""
    if saved_run is not None:
        return saved_run.recipe, saved_run.model
    summary = data.summary
    recipe = task.choose_recipe(options, summary.characters, summary.train + summary.unlabelled)
    if init is not None:
        recipe = init.adapt_recipe(recipe)
    encoder = EncoderConfig(
        cell=recipe.cell,
        vocab_size=data.tokenizer.vocab_size,
        embed_size=recipe.embed,
        hidden_size=recipe.hidden,
        num_layers=recipe.layers,
        bidirectional=recipe.bidirectional,
    )
    config = ModelConfig(
        options.task,
        encoder,
        data.labels,
        options.multi_label,
        recipe.max_length,
        backward_encoder=options.direction == BOTH,
    )
    return recipe, task.complete(config, options)
