"""A training run from start to end: data, model, loop, export, checkpoint.

Knows: the order of things. Does not know: consoles; it yields what happens.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rnntext import checkpoint
from rnntext.config import EncoderConfig, ModelConfig, usable_cores
from rnntext.errors import CheckpointError, TrainingError, UsageError
from rnntext.metrics import is_span_tags
from rnntext.text.source import source_name
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.loading import (
    Data,
    LabelledData,
    LanguageData,
    TaggedData,
    load_data,
)
from rnntext.training.data.prepare import Spent
from rnntext.training.data.rereadable import is_read_once
from rnntext.training.engine.device import Machine, choose_machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks, group
from rnntext.training.engine.loop import MAX_EVALUATION_SHARE, Loop, never
from rnntext.training.engine.optimizer import OptimizerConfig
from rnntext.training.engine.schedule import Budget
from rnntext.training.events import (
    CheckpointDue,
    Evaluated,
    Event,
    Finished,
    Metrics,
    NotSaved,
    Prepared,
    Resumed,
    Saved,
    Step,
    StepTimed,
    Stopped,
)
from rnntext.training.networks.crf import forbid_broken_spans
from rnntext.training.networks.model import Classifier, Model, Tagger, build_model
from rnntext.training.onnx.export import export, numpy_weights, verify
from rnntext.training.options import ExecutionOptions, TrainingOptions
from rnntext.training.persistence import resume as resuming
from rnntext.training.persistence.pretrained import PretrainedEncoder
from rnntext.training.persistence.resume import SavedRun
from rnntext.training.persistence.saver import RunRecord, Saver
from rnntext.training.presets import Recipe, choose_recipe
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.language_modelling import LanguageModelling
from rnntext.training.tasks.tagging import Tagging

if TYPE_CHECKING:
    from rnntext.training.onnx.quantize import Quantized

# Seconds kept for exporting and saving, and more for each million weights.
_SAVING = 1.2
_SAVING_PER_MILLION = 0.1
# Validation tokens that an int8 graph reads in a second, at the least.
_MEASURED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class _Setup:
    options: TrainingOptions
    data: Data
    model: Model
    objective: Any
    recipe: Recipe
    machine: Machine
    prepared: Prepared


def run(
    options: TrainingOptions,
    directory: Path,
    execution: ExecutionOptions = ExecutionOptions(),  # noqa: B008  (frozen)
    *,
    stop_asked: Callable[[], bool] = never,
    began: float | None = None,
) -> Iterator[Event]:
    """Train what `options` asks for and save it as `directory`.

    A run that is to be resumed goes on where `directory` holds it, and one that is finished is
    told again. Where `stop_asked` says so the run's state is saved and it ends; after the last step
    nobody asks any more, so that whoever has it say so then must raise KeyboardInterrupt as well.
    `began` is the `time.perf_counter` from which a time budget counts. Raises RnntextError for
    whatever a user can cause; the directory is then as it was, or as it was last saved.
    """
    began = time.perf_counter() if began is None else began
    with group(options.device) as ranks:
        saved_run = resuming.find(directory, ranks) if execution.resume else None
        if saved_run is not None:
            options = saved_run.merged(options, ranks.size)
            if saved_run.finished:
                if ranks.first:
                    yield saved_run.result()
                return
        elif not options.data:
            raise UsageError(f"{directory} holds no run to go on with: name the data files")
        elif ranks.first:
            checkpoint.check_target(directory, execution.force)
        yield from _train(options, directory, execution, saved_run, stop_asked, began, ranks)


def _train(
    options: TrainingOptions,
    directory: Path,
    execution: ExecutionOptions,
    saved_run: SavedRun | None,
    stop_asked: Callable[[], bool],
    began: float,
    ranks: Ranks,
) -> Iterator[Event]:
    state, spent = (None, 0.0) if saved_run is None else saved_run.state()
    began -= spent  # the time of a budget, and that which is told, count from the run's start
    setup = _set_up(options, began, execution.cache, saved_run, ranks)
    yield setup.prepared
    digest = _digest(setup.data)
    _require_same(ranks, [setup.prepared.summary.fingerprint, digest])
    partial_evaluation = _hurried(setup)
    loop = Loop(
        setup.model,
        setup.objective,
        _settings(setup.recipe),
        _budget(options, began),
        ranks=ranks,
        reserve=_reserve(setup, partial_evaluation),
        partial_evaluation=partial_evaluation,
        save_due=lambda: saver.due(),
        stop_asked=stop_asked,
    )
    if saved_run is not None and state is not None:
        saved_run.require_data(setup.prepared.summary.fingerprint, digest)
        loop.restore(state)
        prepared = setup.prepared
        changed = saved_run.changes(prepared.machine, prepared.threads, prepared.processes)
        yield Resumed(loop.step, changed)
        state = None
    saver = Saver(
        RunRecord(options, setup.prepared, setup.data.tokenizer, digest),
        setup.model,
        directory,
        execution,
        began=began,
        resumed=saved_run,
    )
    finished: Finished | None = None
    try:
        for event in loop.events():
            match event:
                case CheckpointDue(step=step, stop=stop):
                    yield from _rest(saver, loop, stop)
                    if stop:
                        yield Stopped(directory, step)
                        return
                    continue
                case Step() | Evaluated():
                    saver.log(event)
                case Finished():
                    finished, state = event, loop.state()
            yield event
    except TrainingError as error:
        if not saver.saved:
            raise
        raise TrainingError(f"{error}; {directory} keeps what was last saved") from error
    assert finished is not None  # noqa: S101
    assert state is not None  # noqa: S101
    if ranks.first:
        try:
            if stop_asked():
                raise KeyboardInterrupt
            yield _finish(setup, saver, finished, began)
        except KeyboardInterrupt:
            if not stop_asked():
                raise
            if not saver.is_finished():
                saver.save_state(state)
                yield Stopped(directory, finished.steps)


def _require_same(ranks: Ranks, digests: list[str]) -> None:
    """Raise UsageError where this process has read other data than the first."""
    if ranks.broadcast(lambda: digests) != digests:
        raise UsageError(
            "the data that this process reads are not those of the first: give every machine the "
            "same files"
        )


def _rest(saver: Saver, loop: Loop, stop: bool) -> Iterator[Event]:
    """Save where the loop is. A run that goes on also goes on where that fails."""
    state = loop.state()
    if not loop.ranks.first:
        return
    try:
        saver.save_state(state)
    except (CheckpointError, UsageError) as error:
        if stop:
            raise
        saver.postpone()
        yield NotSaved(str(error))


def _finish(setup: _Setup, saver: Saver, finished: Finished, began: float) -> Saved:
    """Measure, export and save what was learned."""
    metrics = _measured(setup, finished.partial_evaluation)
    graph = export(setup.model)
    verify(setup.model, graph)
    quantized = _quantized(setup, finished.partial_evaluation) if setup.options.quantize else None
    saved = Saved(
        directory=saver.directory,
        task=setup.options.task,
        metrics=quantized.metrics if quantized else metrics,
        steps=finished.steps,
        best_step=finished.best_step,
        epochs=finished.epochs,
        seconds=time.perf_counter() - began,
        tokens_per_second=finished.tokens / max(finished.training_seconds, 1e-9),
        parameters=setup.prepared.parameters,
        reason=finished.reason,
        plans=finished.plans,
        float_metrics=metrics if quantized else None,
    )
    if quantized:
        saver.finish(saved, quantized.graph, quantized.temperature)
    else:
        saver.finish(saved, graph)
    return replace(saved, seconds=time.perf_counter() - began)


def _settings(recipe: Recipe) -> OptimizerConfig:
    return OptimizerConfig(
        recipe.learning_rate,
        recipe.weight_decay,
        recipe.clip_norm,
        recipe.warmup,
        recipe.ema_decay,
        recipe.embedding_lr_multiplier,
    )


def _budget(options: TrainingOptions, began: float) -> Budget:
    return Budget(
        options.epochs,
        options.steps,
        None if options.minutes is None else began + 60 * options.minutes,
        options.plans,
    )


def _hurried(setup: _Setup) -> bool:
    """Whether there is no time to measure an int8 graph on all validation data."""
    minutes = setup.options.minutes
    if minutes is None or not setup.options.quantize:
        return False
    return bool(
        setup.objective.valid_tokens() / _MEASURED_TOKENS > MAX_EVALUATION_SHARE * 60 * minutes
    )


def _reserve(setup: _Setup, partial_evaluation: bool) -> float:
    """Seconds to keep for what comes after the loop, but for measuring the model."""
    reserve = _SAVING + _SAVING_PER_MILLION * setup.prepared.parameters / 1e6
    if setup.options.quantize:
        share = setup.objective.quick_share if partial_evaluation else 1.0
        reserve += share * setup.objective.valid_tokens() / _MEASURED_TOKENS
    return reserve


def _digest(data: Data) -> str:
    """SHA-256 of the validation data as they are encoded."""
    digest = hashlib.sha256()
    valid: Any = data.valid
    rows = valid.ids if isinstance(data, LabelledData) else valid
    for row in rows:
        arrays = [row] if isinstance(row, np.ndarray) else [row.ids, row.tags]
        for array in arrays:
            digest.update(np.int64(len(array)).tobytes() + array.astype(np.int64).tobytes())
    if isinstance(data, LabelledData):
        digest.update(valid.labels.tobytes())
    return digest.hexdigest()


def _measured(setup: _Setup, partial_evaluation: bool) -> Metrics:
    """The metrics on the validation data, a classifier being calibrated on them first."""
    objective = setup.objective
    measure = objective.calibrate if isinstance(setup.model, Classifier) else objective.evaluate
    metrics: Metrics = measure(setup.model, quick=partial_evaluation)
    return metrics


def _quantized(setup: _Setup, partial_evaluation: bool) -> Quantized:
    # Imported here, because most runs do not need the runtime.
    from rnntext.training.onnx.quantize import quantize

    return quantize(
        setup.prepared.model,
        numpy_weights(setup.model),
        setup.data.tokenizer,
        setup.objective,
        setup.prepared.threads,
        quick=partial_evaluation,
    )


def dry_run(options: TrainingOptions, *, cache: bool = True) -> Iterator[Event]:
    """Read the data and time a few steps; nothing is written but to the cache."""
    setup = _set_up(options, time.perf_counter(), cache)
    yield setup.prepared
    taken, started = 0, time.perf_counter()
    for batch in setup.objective.batches(0):
        loss, _ = setup.objective.loss(setup.model, batch)
        loss.backward()
        taken += 1
        if time.perf_counter() - started > 3:
            break
    pace = (time.perf_counter() - started) / taken
    yield StepTimed(pace, pace * setup.prepared.steps_per_epoch)


def _set_up(
    options: TrainingOptions,
    began: float,
    cache: bool,
    saved_run: SavedRun | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> _Setup:
    threads = options.threads or max(1, usable_cores() // ranks.local_size)
    machine = choose_machine(options.device, threads)
    init = None
    if options.init is not None and saved_run is None:
        init = PretrainedEncoder.load(Path(options.init), options)

    def spent() -> float:
        # A run that goes on reads what it began with, however late it is.
        if options.minutes is None or saved_run is not None:
            return 0.0
        return (time.perf_counter() - began) / (60 * options.minutes)

    tokenizer = init.tokenizer if init else None
    if saved_run is not None:
        tokenizer = saved_run.tokenizer
    data = _load(options, tokenizer, spent, cache, ranks)
    summary = data.summary
    if saved_run is not None:
        recipe, config = saved_run.recipe, saved_run.model
    else:
        recipe = choose_recipe(options, summary.characters, summary.train)
        if init is not None:
            recipe = init.adapt_recipe(recipe)
        config = _model_config(options, data, recipe)
    torch.manual_seed(options.seed)
    model = build_model(config, recipe.dropout, recipe.token_dropout)
    if isinstance(model, Tagger) and is_span_tags(config.labels):
        forbid_broken_spans(model.head.crf, list(config.labels))
    if init is not None:
        init.copy_weights(model)
    model.to(machine.device)
    if not ranks.first:
        # Each rank drops other units.
        torch.manual_seed(options.seed + ranks.rank)
    objective = _objective(options, data, recipe, machine, ranks)
    prepared = Prepared(
        summary=summary,
        encoded=data.encoded,
        model=config,
        tokenizer=data.tokenizer.config.kind,
        parameters=sum(p.numel() for p in model.parameters()),
        recipe=recipe,
        steps_per_epoch=objective.steps_per_epoch,
        machine=str(machine),
        threads=threads,
        processes=ranks.size,
        sampled_softmax=isinstance(objective, LanguageModelling) and objective.softmax.sampled,
        capped=objective.capped() if isinstance(objective, Classification) else 0,
        pieces=len(data.train) if isinstance(data, TaggedData) else 0,
    )
    return _Setup(options, data, model, objective, recipe, machine, prepared)


def _load(
    options: TrainingOptions,
    tokenizer: Tokenizer | None,
    spent: Spent,
    cache: bool,
    ranks: Ranks,
) -> Data:
    """The data, which the first rank prepares. The others learn from the same part of them where
    there was no time for more, and find on its machine what it made."""
    sources = (*options.data, *filter(None, [options.valid]))
    once = [source for source in sources if is_read_once(source)]
    if once and ranks.size > 1:
        raise UsageError(
            f"{source_name(once[0])} gives its text once, and {ranks.size} processes read it: "
            "save it as a file and name that"
        )
    loaded: list[Data] = []

    def first_load() -> list[int] | None:
        loaded.append(load_data(options, tokenizer, spent=spent, keep=cache))
        summary = loaded[0].summary
        return [summary.read, summary.train] if summary.cut_short else None

    part = ranks.broadcast(first_load)
    with ranks.local_rank_zero_first():
        if not ranks.first:
            if part is not None:
                options = replace(options, part=(part[0], part[1]))
            loaded.append(load_data(options, tokenizer, keep=cache))
    return loaded[0]


def _model_config(options: TrainingOptions, data: Data, recipe: Recipe) -> ModelConfig:
    encoder = EncoderConfig(
        cell=recipe.cell,
        vocab_size=data.tokenizer.vocab_size,
        embed_size=recipe.embed,
        hidden_size=recipe.hidden,
        num_layers=recipe.layers,
        bidirectional=recipe.bidirectional,
    )
    return ModelConfig(
        options.task,
        encoder,
        () if isinstance(data, LanguageData) else data.labels,
        options.multi_label,
        recipe.max_length,
    )


def _objective(
    options: TrainingOptions,
    data: Data,
    recipe: Recipe,
    machine: Machine,
    ranks: Ranks = SINGLE_PROCESS,
) -> Any:
    if isinstance(data, LanguageData):
        return LanguageModelling(
            data.stream,
            data.valid,
            counts=data.counts,
            batch_size=recipe.batch_size,
            bptt=recipe.bptt,
            eos_id=data.tokenizer.eos_id,
            unk_id=data.tokenizer.unk_id,
            valid_bytes=data.valid_bytes,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
            dropout_warmup_epochs=recipe.dropout_warmup_epochs,
        )
    if isinstance(data, LabelledData):
        return Classification(
            data.train,
            data.valid,
            labels=data.labels,
            multi_label=options.multi_label,
            balanced=options.class_weights == "balanced",
            batch_size=recipe.batch_size,
            max_length=recipe.max_length,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
        )
    return Tagging(
        data.train,
        data.valid,
        labels=data.labels,
        max_length=recipe.max_length,
        batch_size=recipe.batch_size,
        seed=options.seed,
        machine=machine,
        ranks=ranks,
    )
