"""`rnntext info`: facts about a checkpoint, or a file that `export -o` wrote."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rnntext.cli import output
from rnntext.cli.options import OutputOptions
from rnntext.cli.signature import expanded
from rnntext.cli.values import model_argument
from rnntext.config import listed

if TYPE_CHECKING:
    from rnntext.checkpoint_config import DistillationRecord, Progress, Results
    from rnntext.config import ModelConfig


@expanded
def command(
    directory: Annotated[
        Path,
        model_argument("DIR", help="Directory of the model, or a file that `export -o` wrote."),
    ],
    printing: OutputOptions,
) -> None:
    """Describe a model: task, encoder, size, labels, data, results. A file does not know its data
    and results."""
    facts = describe(directory)
    if printing.json:
        output.write(output.json_line(facts))
    else:
        # A terminal shows some of many labels.
        join = listed if output.on_terminal() else ", ".join
        pairs = {n: join(value) if isinstance(value, list) else value for n, value in facts.items()}
        output.print_pairs(pairs, str(directory))


def _seconds_by_use(results: Results | Progress) -> dict[str, float]:
    """How a finished run spent its seconds; empty for one that does not say."""
    names = ("preparation_seconds", "training_seconds", "evaluation_seconds")
    found = {name: getattr(results, name, 0.0) for name in names}
    return found if any(found.values()) else {}


def _teacher_facts(taught: DistillationRecord) -> dict[str, Any]:
    return {"distilled_from": taught.teacher, "unlabelled": taught.unlabelled}


def _model_facts(
    model: ModelConfig, *, parameters: int, size: int, precision: str, tokenizer: str
) -> dict[str, Any]:
    """What a file holds too. `size`: in bytes; `tokenizer`: its kind."""
    encoder = model.encoder
    return {
        "task": model.task,
        "cell": encoder.cell,
        "layers": encoder.num_layers,
        "hidden": encoder.hidden_size,
        "embed": encoder.embed_size,
        "bidirectional": encoder.bidirectional,
        **({"direction": "both"} if model.backward_encoder else {}),
        **({} if model.crf else {"crf": False}),
        "parameters": parameters,
        "bytes": size,
        "precision": precision,
        "tokenizer": tokenizer,
        "vocabulary": encoder.vocab_size,
        **({"labels": list(model.labels)} if model.labels else {}),
    }


def _describe_file(path: Path) -> dict[str, Any]:
    from rnntext.graphs.expected import weight_shapes
    from rnntext.graphs.model_file import read_model_file

    file = read_model_file(path)
    return _model_facts(
        file.config,
        parameters=sum(map(math.prod, weight_shapes(file.config).values())),
        size=len(file.content),
        precision=file.precision,
        tokenizer=file.tokenizer.config.kind,
    )


def describe(path: Path) -> dict[str, Any]:
    """Facts about a model, by name; of a file that `export -o` wrote only those of the network and
    its tokenizer. Raises CheckpointError."""
    if os.path.isfile(path):  # unlike the method of Path, False for a name that is too long
        return _describe_file(path)
    from rnntext.checkpoint import load
    from rnntext.checkpoint_config import CheckpointConfig, Results

    found = load(path)
    config = CheckpointConfig.of(found)
    data, results, taught = config.data, config.results, config.training.distilled
    facts = {
        **_model_facts(
            config.model,
            parameters=config.parameters,
            size=sum(file["size"] for file in found.config["files"].values()),
            precision=config.precision,
            tokenizer=config.tokenizer.kind,
        ),
        "trained_on": f"{data.train} {data.unit}",
        "validated_on": f"{data.valid} {data.unit}",
        "fingerprint": data.fingerprint,
        **({} if taught is None else _teacher_facts(taught)),
        "finished": config.training.finished,
        "steps": results.steps,
        "epochs": results.epochs,
        "seconds": results.seconds,
        **_seconds_by_use(results),
        **(results.halves if isinstance(results, Results) else {}),
        "rnntext_version": config.version,
    }
    metrics = results.metrics or {}
    # A run with --quantize measures float32 as well; `export --int8 --valid` measures int8.
    float32 = results.float32 if isinstance(results, Results) else None
    if config.precision == "float32":
        return output.add_metrics(facts, metrics if float32 is None else float32)
    facts = output.add_metrics(facts, metrics)
    int8 = None if config.quantization is None else config.quantization.metrics
    for precision, measured in (("float32", float32), ("int8", int8)):
        scalars = output.scalar_metrics(measured or {})
        facts.update({f"{precision}_{name}": value for name, value in scalars.items()})
    return facts
