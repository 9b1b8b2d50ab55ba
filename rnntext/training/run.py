"""A training run from start to end: data, model, loop, export, checkpoint.

Knows: the order of things. Does not know: any one task, or consoles; it yields events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rnntext.claim import Claim
from rnntext.errors import CheckpointError, TrainingError, UsageError
from rnntext.packaged import locate_model
from rnntext.training.engine.distributed import Ranks, group
from rnntext.training.engine.loop import Loop, always_false
from rnntext.training.engine.memory import explain_out_of_memory
from rnntext.training.engine.optimizer import OptimizerConfig
from rnntext.training.engine.schedule import Budget
from rnntext.training.engine.time_left import middle_mean
from rnntext.training.engine.time_plan import MAX_EVALUATION_SHARE
from rnntext.training.events import (
    CheckpointDue,
    Evaluated,
    Event,
    Finished,
    NotSaved,
    Ready,
    Resumed,
    RoomShort,
    Saved,
    Step,
    StepTimed,
    Stopped,
)
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.memory_needs import smaller_batch
from rnntext.training.onnx.from_network import export, numpy_weights, verify
from rnntext.training.options import TrainingOptions
from rnntext.training.persistence import resume as resuming
from rnntext.training.persistence.destination import Destination
from rnntext.training.persistence.resume import SavedRun
from rnntext.training.persistence.saver import RunRecord, Saver
from rnntext.training.recipes import Recipe
from rnntext.training.setup import Setup, Shared, set_up

if TYPE_CHECKING:
    from rnntext.checkpoint_config import LineBits
    from rnntext.training.onnx.quantized_model import Quantized

# Seconds reserved for export and saving, and more for each million parameters.
_SAVING = 1.2
_SAVING_PER_MILLION = 0.1
# Validation tokens that an int8 graph reads in a second, at the least.
_MEASURED_TOKENS = 10_000
# A dry run times steps for so many seconds.
_TIMED_SECONDS = 3


def run(
    options: TrainingOptions,
    directory: Path,
    execution: ExecutionOptions = ExecutionOptions(),  # noqa: B008  (frozen)
    *,
    stop_asked: Callable[[], bool] = always_false,
    began: float | None = None,
    shared: Shared | None = None,
) -> Iterator[Event]:
    """Train a model as `options` says and save it as `directory`.

    A run that is resumed continues from the state that `directory` holds; of one that is finished
    the result is reported again. Where `stop_asked` returns True the state is saved and the run
    ends. It is polled after each step: before `Ready` there is nothing to save, and to stop the run
    after the last step, the caller must also raise KeyboardInterrupt. `began` is the
    `time.perf_counter` from which a time budget counts; `shared`: of the runs of a search. Raises
    RnntextError for whatever a user can cause; the directory is then as it was, or as it was last
    saved.
    """
    began = time.perf_counter() if began is None else began
    if options.distil is not None and locate_model(options.distil).resolve() == directory.resolve():
        raise UsageError(f"{directory} holds the teacher: name another directory with -o")
    with (
        group(options.device) as ranks,
        explain_out_of_memory(smaller_batch(options)),
        ExitStack() as stack,
    ):
        resume = execution.resume
        destination = Destination(directory, Claim(directory, "training"))
        # A run that is finished is only reported, which needs no claim.
        if ranks.is_main and not (resume and resuming.is_finished(directory)):
            stack.enter_context(destination.claimed(force=execution.force, resume=resume))
        saved_run = resuming.find_saved_run(directory, ranks) if resume else None
        if saved_run is not None:
            options = saved_run.merge_options(options, ranks.size)
            if saved_run.finished:
                if ranks.is_main:
                    yield saved_run.result()
                return
        elif not options.data:
            raise UsageError(f"{directory} holds no run to go on with: name the data files")
        yield from _train(
            options, destination, execution, saved_run, stop_asked, began, ranks, shared
        )


def dry_run(options: TrainingOptions, *, cache: bool) -> Iterator[Event]:
    """Read the data and time a few steps; nothing is written but to the cache."""
    with explain_out_of_memory(smaller_batch(options)):
        setup = set_up(options, time.perf_counter(), cache)
        yield setup.prepared
        ends = [time.perf_counter()]
        for batch in setup.objective.batches(0):
            loss, _ = setup.objective.loss(setup.model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            ends.append(time.perf_counter())
            if ends[-1] - ends[0] > _TIMED_SECONDS:
                break
    # The first steps of a run are slow.
    seconds = middle_mean([end - start for start, end in pairwise(ends)])
    yield StepTimed(seconds, seconds * setup.prepared.steps_per_epoch)


def _train(
    options: TrainingOptions,
    destination: Destination,
    execution: ExecutionOptions,
    saved_run: SavedRun | None,
    stop_asked: Callable[[], bool],
    began: float,
    ranks: Ranks,
    shared: Shared | None,
) -> Iterator[Event]:
    state, spent = (None, 0.0) if saved_run is None else saved_run.state()
    began -= spent  # a time budget, and the seconds reported, count from the run's start
    setup = set_up(options, began, execution.cache, saved_run, ranks, shared)
    yield setup.prepared
    directory, digest = destination.directory, setup.validation_digest
    if saved_run is not None:
        saved_run.require_same(setup.prepared.summary, digest, setup.prepared.distilled)
    if ranks.is_main:
        shortage = destination.describe_shortage(setup.prepared.parameters)
        if shortage is not None:
            yield RoomShort(shortage)
        files = {} if shared is None else shared.files
        yield from setup.objective.prepare(files if saved_run is None else saved_run.files)
        if shared is not None and shared.is_trial:
            setup.objective.learn_once()
    preparation = time.perf_counter() - began - spent
    summary = setup.prepared.summary
    _require_same_data(ranks, [summary.fingerprint, summary.unlabelled_fingerprint, digest])
    yield Ready()
    partial = is_final_evaluation_partial(setup)
    loop = Loop(
        setup.model,
        setup.objective,
        optimizer_config(setup.recipe),
        budget_of(options, began),
        ranks=ranks,
        reserve=_reserved_seconds(setup, partial),
        partial_evaluation=partial,
        save_due=lambda: saver.is_due(),
        stop_asked=stop_asked,
    )
    if saved_run is not None and state is not None:
        loop.restore(state)
        prepared = setup.prepared
        changed = saved_run.describe_changes(prepared.machine, prepared.threads, prepared.processes)
        yield Resumed(loop.step, changed)
        state = None
    saver = Saver(
        RunRecord(
            options,
            setup.prepared,
            setup.data.tokenizer,
            digest,
            setup.objective.files,
            directory if shared is None else shared.published,
        ),
        setup.model,
        destination,
        execution,
        began=began,
        resumed=saved_run,
    )
    finished: Finished | None = None
    try:
        for event in loop.events():
            match event:
                case CheckpointDue(step=step, stop=stop):
                    yield from _save_state(saver, loop, stop)
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
        if not saver.has_saved:
            raise
        raise TrainingError(f"{error}; {directory} keeps what was last saved") from error
    assert finished is not None  # noqa: S101
    assert state is not None  # noqa: S101
    if not ranks.is_main:
        return
    try:
        if stop_asked():
            raise KeyboardInterrupt
        yield _finish(setup, saver, finished, began, preparation)
    except KeyboardInterrupt:
        if not stop_asked():
            raise
        if not saver.is_finished():
            saver.save_state(state, last=True)
            yield Stopped(directory, finished.steps)


def _require_same_data(ranks: Ranks, digests: list[str]) -> None:
    """Raise UsageError if this rank's data differ from those of rank 0."""
    if ranks.broadcast(lambda: digests) != digests:
        raise UsageError(
            "the data that this process reads are not those of the first: give every machine the "
            "same files"
        )


def _save_state(saver: Saver, loop: Loop, stop: bool) -> Iterator[Event]:
    """Save the loop's state. A run that continues also does so where saving fails."""
    state = loop.state()
    if not loop.ranks.is_main:
        return
    try:
        saver.save_state(state, last=stop)
    except (CheckpointError, UsageError) as error:
        if stop:
            raise
        saver.restart_timer()
        if str(error) != saver.trouble:  # a full disk may stay full for hours
            saver.trouble = str(error)
            yield NotSaved(str(error))


def optimizer_config(recipe: Recipe) -> OptimizerConfig:
    """Return the hyperparameters of the optimizer."""
    return OptimizerConfig(
        recipe.learning_rate,
        recipe.weight_decay,
        recipe.clip_norm,
        recipe.warmup,
        recipe.ema_decay,
        recipe.embedding_lr_multiplier,
    )


def budget_of(options: TrainingOptions, began: float) -> Budget:
    """Return what ends a run. `began`: see `run`."""
    return Budget(
        options.epochs,
        options.steps,
        None if options.minutes is None else began + 60 * options.minutes,
        options.plans,
    )


def is_final_evaluation_partial(setup: Setup) -> bool:
    """Return True if the time is too short to measure an int8 graph on all validation data."""
    minutes = setup.options.minutes
    if minutes is None or not setup.options.quantize:
        return False
    seconds = setup.objective.valid_tokens() / _MEASURED_TOKENS
    return seconds > MAX_EVALUATION_SHARE * 60 * minutes


def _reserved_seconds(setup: Setup, partial: bool) -> float:
    """Seconds reserved for what follows the loop, the final evaluation apart."""
    reserve = _SAVING + _SAVING_PER_MILLION * setup.prepared.parameters / 1e6
    reserve += setup.objective.seconds_to_finish()
    if setup.options.quantize:
        share = setup.objective.quick_fraction if partial else 1.0
        reserve += share * setup.objective.valid_tokens() / _MEASURED_TOKENS
    return reserve


# After the last step


def _finish(
    setup: Setup, saver: Saver, finished: Finished, began: float, preparation: float
) -> Saved:
    """Measure, export and save the trained model. `preparation`: seconds before the first step."""
    started = time.perf_counter()
    metrics = setup.objective.final_metrics(setup.model, quick=finished.partial_evaluation)
    graph = export(setup.model)
    verify(setup.model, graph)
    quantized = _quantized(setup, finished.partial_evaluation) if setup.options.quantize else None
    line_bits = quantized.line_bits if quantized else _line_bits(setup, graph)
    ended = time.perf_counter()
    saved = Saved(
        directory=saver.directory,
        task=setup.options.task,
        metrics=quantized.metrics if quantized else metrics,
        steps=finished.steps,
        best_step=finished.best_step,
        epochs=finished.epochs,
        seconds=ended - began,
        tokens_per_second=finished.tokens / max(finished.training_seconds, 1e-9),
        parameters=setup.prepared.parameters,
        reason=finished.reason,
        plans=finished.plans,
        float_metrics=metrics if quantized else None,
        halves=setup.objective.halves(),
        learned_from_valid=setup.objective.learns_from_validation(),
        preparation_seconds=preparation,
        training_seconds=finished.training_seconds,
        evaluation_seconds=finished.evaluation_seconds + ended - started,
    )
    files = setup.objective.finished_files()
    if quantized:
        saver.save_model(saved, quantized.graph, files, line_bits, quantized.temperature)
    else:
        saver.save_model(saved, graph, files, line_bits)
    return replace(saved, seconds=time.perf_counter() - began)


def _line_bits(setup: Setup, graph: bytes) -> LineBits | None:
    from rnntext.training.onnx.quantized_model import running

    prepared, tokenizer = setup.prepared, setup.data.tokenizer
    model = running(prepared.model, graph, tokenizer, prepared.threads)
    return setup.objective.line_bits(model)


def _quantized(setup: Setup, partial: bool) -> Quantized:
    # Imported here, because most runs do not need the runtime.
    from rnntext.training.onnx.quantized_model import quantize

    return quantize(
        setup.prepared.model,
        numpy_weights(setup.model),
        setup.data.tokenizer,
        setup.objective,
        setup.prepared.threads,
        quick=partial,
    )
