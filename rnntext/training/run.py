"""A training run from start to end: data, model, loop, export, checkpoint.

Knows: the order of things and what is written into the checkpoint. Does not know: consoles;
it yields what happens.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rnntext import __version__, checkpoint
from rnntext.config import (
    TASK_NAMES,
    EncoderConfig,
    ModelConfig,
    TrainingOptions,
    usable_cores,
)
from rnntext.errors import UsageError
from rnntext.metrics import fit_temperature, is_span_tags
from rnntext.text.tokenizer import Tokenizer, tokenizer_config_to_json
from rnntext.training.crf import forbid_broken_spans
from rnntext.training.data import (
    Data,
    LabelledData,
    LanguageData,
    load_data,
    tokenizer_of,
)
from rnntext.training.device import Machine, choose_machine
from rnntext.training.events import Evaluated, Event, Finished, Prepared, Saved, Timed
from rnntext.training.export import export, verify, weights_of
from rnntext.training.loop import Settings, train
from rnntext.training.model import Classifier, Model, Tagger, build_model
from rnntext.training.objectives import Classification, LanguageModelling, Tagging
from rnntext.training.presets import Recipe, choose_recipe
from rnntext.training.repeat import command_of
from rnntext.training.schedule import Budget

if TYPE_CHECKING:
    from rnntext.training.quantize import Quantized

# The part of a time budget that reading and encoding may take.
_PREPARATION = 0.35
# Seconds kept for exporting and saving, and more for each million weights.
_SAVING = 2.5
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
    *,
    force: bool = False,
    began: float | None = None,
    cache: bool = True,
) -> Iterator[Event]:
    """Train what `options` asks for and save it as `directory`.

    With `cache` the encoded data are kept for the next run that reads the same. `began` is the
    `time.perf_counter` from which a time budget counts. Raises RnntextError for whatever a user
    can cause; the directory is then as it was.
    """
    began = time.perf_counter() if began is None else began
    checkpoint.check_target(directory, force)
    setup = _set_up(options, began, cache)
    yield setup.prepared
    parameters = setup.prepared.parameters
    budget = Budget(
        options.epochs,
        options.steps,
        None if options.minutes is None else began + 60 * options.minutes,
    )
    evaluations: list[Evaluated] = []
    finished: Finished | None = None
    for event in train(
        setup.model,
        setup.objective,
        Settings(
            setup.recipe.learning_rate,
            setup.recipe.weight_decay,
            setup.recipe.clip_norm,
            setup.recipe.warmup,
            setup.recipe.averaging,
        ),
        budget,
        reserve=_SAVING + _SAVING_PER_MILLION * parameters / 1e6 + _measuring(setup),
    ):
        if isinstance(event, Evaluated):
            evaluations.append(event)
        if isinstance(event, Finished):
            finished = event
        yield event
    assert finished is not None  # noqa: S101
    _calibrate(setup)
    metrics = setup.objective.evaluate(setup.model)
    graph = export(setup.model)
    verify(setup.model, graph)
    quantized = _quantized(setup) if options.quantize else None
    saved = Saved(
        directory=directory,
        task=options.task,
        metrics=quantized.metrics if quantized else metrics,
        steps=finished.steps,
        best_step=finished.best_step,
        epochs=finished.epochs,
        seconds=time.perf_counter() - began,
        tokens_per_second=finished.tokens / max(finished.training_seconds, 1e-9),
        parameters=parameters,
        reason=finished.reason,
        float_metrics=metrics if quantized else None,
    )
    if quantized:
        _save(setup, saved, evaluations, quantized.graph, force, quantized.temperature)
    else:
        _save(setup, saved, evaluations, graph, force)
    yield replace(saved, seconds=time.perf_counter() - began)


def _measuring(setup: _Setup) -> float:
    """Seconds that it takes to measure an int8 graph, if there is to be one."""
    if not setup.options.quantize:
        return 0.0
    tokens: int = setup.objective.valid_tokens()
    return tokens / _MEASURED_TOKENS


def _calibrate(setup: _Setup) -> None:
    """Make a classifier's probabilities say how often it is right, on the validation data."""
    if not isinstance(setup.model, Classifier):
        return
    setup.model.eval()
    valid = setup.objective.valid
    logits = setup.objective.logits(setup.model, valid.ids).cpu().numpy()
    temperature = fit_temperature(logits, valid.labels, setup.options.multi_label)
    with torch.no_grad():
        for parameter in setup.model.head.output.parameters():
            parameter.div_(temperature)


def _quantized(setup: _Setup) -> Quantized:
    # Imported here, because most runs do not need the runtime.
    from rnntext.training.quantize import quantize

    return quantize(
        setup.prepared.model,
        weights_of(setup.model),
        setup.data.tokenizer,
        setup.objective,
        setup.prepared.threads,
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
    yield Timed(pace, pace * setup.prepared.steps_per_epoch)


def _set_up(options: TrainingOptions, began: float, cache: bool) -> _Setup:
    threads = options.threads or usable_cores()
    machine = choose_machine(options.device, threads)
    init = _Init.load(Path(options.init), options) if options.init is not None else None

    def out_of_time() -> bool:
        if options.minutes is None:
            return False
        return time.perf_counter() - began > _PREPARATION * 60 * options.minutes

    data = load_data(options, init.tokenizer if init else None, out_of_time=out_of_time, keep=cache)
    summary = data.summary
    recipe = choose_recipe(options, summary.characters, summary.train)
    if init is not None:
        recipe = init.adapted(recipe)
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
        () if isinstance(data, LanguageData) else data.labels,
        options.multi_label,
        recipe.max_length,
    )
    torch.manual_seed(options.seed)
    model = build_model(config, recipe.dropout, recipe.token_dropout)
    if isinstance(model, Tagger) and is_span_tags(config.labels):
        forbid_broken_spans(model.head.crf, list(config.labels))
    if init is not None:
        init.give_weights(model)
    model.to(machine.device)
    objective = _objective(options, data, recipe, machine)
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
    )
    return _Setup(options, data, model, objective, recipe, machine, prepared)


def _objective(options: TrainingOptions, data: Data, recipe: Recipe, machine: Machine) -> Any:
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
        )
    return Tagging(
        data.train,
        data.valid,
        labels=data.labels,
        batch_size=recipe.batch_size,
        seed=options.seed,
        machine=machine,
    )


@dataclass(frozen=True, slots=True)
class _Init:
    """Another checkpoint's tokenizer, embeddings and encoder, to start from."""

    encoder: EncoderConfig
    tokenizer: Tokenizer
    weights: dict[str, np.ndarray[Any, Any]]

    @classmethod
    def load(cls, directory: Path, options: TrainingOptions) -> _Init:
        source = checkpoint.load(directory)
        encoder = ModelConfig.from_json(source.config["model"]).encoder
        if options.task == "lm" and encoder.bidirectional:
            raise UsageError(
                f"--init {directory}: its encoder reads in both directions, and a language model "
                "may not see what it predicts; start from a language model"
            )
        names = [n for n in checkpoint.tensor_shapes(source) if n.startswith("encoder.")]
        return cls(
            encoder,
            tokenizer_of(
                source.file(checkpoint.TOKENIZER).read_text("utf-8"), source.config["tokenizer"]
            ),
            checkpoint.load_tensors(source, names),
        )

    def adapted(self, recipe: Recipe) -> Recipe:
        """The recipe with this encoder's sizes. A tagger always reads in both directions; a
        classifier reads as the encoder it starts from does."""
        return replace(
            recipe,
            cell=self.encoder.cell,
            layers=self.encoder.num_layers,
            hidden=self.encoder.hidden_size,
            embed=self.encoder.embed_size,
            bidirectional=self.encoder.bidirectional
            or (recipe.bidirectional and not recipe.bptt and recipe.max_length >= 512),
        )

    def give_weights(self, model: Model) -> None:
        """Copy what is there. Where the new encoder reads backward too and this one does not,
        the forward direction starts by computing exactly what it computed before: the part of
        a layer's input that comes from the backward direction has weights of zero."""
        state = model.state_dict()
        for name, array in self.weights.items():
            old = torch.from_numpy(array)
            new: Tensor = state[name]
            if new.shape != old.shape:
                widened = torch.zeros_like(new)
                widened[:, : old.shape[1]] = old
                old = widened
            new.copy_(old)


def _save(
    setup: _Setup,
    saved: Saved,
    evaluations: list[Evaluated],
    graph: bytes,
    force: bool,
    temperature: float | None = None,
) -> None:
    """Save the run's model; `temperature` is that of an int8 graph, None for float32."""
    options, prepared = setup.options, setup.prepared
    results = {
        "metrics": saved.metrics,
        **({} if saved.float_metrics is None else {"float32": saved.float_metrics}),
        "steps": saved.steps,
        "best_step": saved.best_step,
        "epochs": round(saved.epochs, 3),
        "seconds": round(saved.seconds, 1),
        "tokens_per_second": round(saved.tokens_per_second),
    }
    config = {
        "rnntext_version": __version__,
        "model": prepared.model.to_json(),
        "parameters": prepared.parameters,
        "precision": "float32" if temperature is None else "int8",
        **({} if temperature is None else {"quantization": {"temperature": temperature}}),
        "tokenizer": tokenizer_config_to_json(setup.data.tokenizer.config),
        "data": asdict(prepared.summary),
        "training": {
            "options": options.to_json(),
            "recipe": asdict(setup.recipe),
            "machine": prepared.machine,
            "threads": prepared.threads,
            "torch_version": torch.__version__,
        },
        "results": results,
    }
    log = "".join(
        json.dumps(
            {
                "step": e.step,
                "epoch": e.epoch,
                "loss": e.loss,
                "seconds": round(e.seconds, 2),
                "best": e.best,
                **{k: v for k, v in e.metrics.items() if isinstance(v, int | float)},
            }
        )
        + "\n"
        for e in evaluations
    )
    files: dict[str, bytes | Path] = {
        checkpoint.TOKENIZER: setup.data.tokenizer.to_json().encode(),
        checkpoint.WEIGHTS: checkpoint.serialize_tensors(weights_of(setup.model)),
        checkpoint.GRAPH: graph,
        checkpoint.METRICS: log.encode(),
        checkpoint.MODEL_CARD: _model_card(setup, saved).encode("utf-8", "replace"),
    }
    checkpoint.save(saved.directory, files, config, force=force)


def _model_card(setup: _Setup, saved: Saved) -> str:
    prepared, summary = setup.prepared, setup.prepared.summary
    encoder = prepared.model.encoder
    both = ", bidirectional" if encoder.bidirectional else ""
    rows = [
        f"| {name} | {value:.4f} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in saved.metrics.items()
        if isinstance(value, int | float | None)
    ]
    part = " (the first of them: the time allowed for no more)" if summary.cut_short else ""
    labels = ", ".join(f"`{label}`" for label in prepared.model.labels)
    lines = [
        f"# {saved.directory.name}",
        "",
        f"A {TASK_NAMES[saved.task]} trained with rnntext {__version__}.",
        "",
        f"- encoder: {encoder.cell.upper()}, {encoder.num_layers} layer(s) of "
        f"{encoder.hidden_size}{both}, embeddings of {encoder.embed_size}",
        f"- parameters: {prepared.parameters:,}",
        f"- tokenizer: {prepared.tokenizer}, {encoder.vocab_size:,} entries",
        *([f"- labels: {labels}"] if labels else []),
        f"- data: {summary.train:,} {summary.unit}{part} for training, {summary.valid:,} for "
        f"validation ({summary.duplicates:,} of these also in training)",
        f"- fingerprint of the training data: sha256 {summary.fingerprint}",
        f"- run: {saved.steps:,} steps, {saved.epochs:.1f} epochs, {saved.seconds:.0f} s on "
        f"{prepared.machine}; it ended because {saved.reason}",
        "",
        "Trained with",
        "",
        f"    {command_of(setup.options, saved.directory)}",
        "",
        "On the validation data:",
        "",
        "| metric | value |",
        "| --- | --- |",
        *rows,
        "",
    ]
    return "\n".join(lines)
