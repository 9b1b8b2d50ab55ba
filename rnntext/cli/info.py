"""`rnntext info`: what a checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnntext.cli import options, output
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError


def command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The model's directory.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what a model is: task, encoder, size, labels, data, results."""
    facts = describe(directory)
    if json:
        output.write(output.json_line(facts))
    else:
        plain = {
            name: ", ".join(map(str, value)) if isinstance(value, list) else value
            for name, value in facts.items()
        }
        output.show_pairs(plain, str(directory))


def describe(directory: Path) -> dict[str, Any]:
    """The facts of a checkpoint, by name. Raises CheckpointError."""
    from rnntext.checkpoint import CONFIG, load

    config = load(directory).config
    try:
        return _facts(config, ModelConfig.from_json(config["model"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{directory / CONFIG} is not complete: {error!r}") from None


def _facts(config: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    encoder = model.encoder
    data, results = config["data"], config["results"]
    facts = {
        "task": model.task,
        "cell": encoder.cell,
        "layers": encoder.num_layers,
        "hidden": encoder.hidden_size,
        "embed": encoder.embed_size,
        "bidirectional": encoder.bidirectional,
        "parameters": config["parameters"],
        "bytes": sum(file["size"] for file in config["files"].values()),
        "precision": config["precision"],
        "tokenizer": config["tokenizer"]["kind"],
        "vocabulary": encoder.vocab_size,
        **({"labels": list(model.labels)} if model.labels else {}),
        "trained_on": f"{data['train']} {data['unit']}",
        "validated_on": f"{data['valid']} {data['unit']}",
        "fingerprint": data["fingerprint"],
        "finished": config["training"].get("finished", True),
        "steps": results["steps"],
        "epochs": results["epochs"],
        "seconds": results["seconds"],
        "rnntext_version": config["rnntext_version"],
    }
    in_float = results.get("float32", results.get("metrics", {}))
    if config["precision"] == "float32":
        return output.with_metrics(facts, in_float)
    facts = output.with_metrics(facts, results["metrics"])
    # What else was measured: in float32 by the run that made it int8, in int8 since.
    others = {
        "float32": results.get("float32"),
        "int8": config.get("quantization", {}).get("metrics"),
    }
    for precision, metrics in others.items():
        facts.update({f"{precision}_{n}": v for n, v in output.flat(metrics or {}).items()})
    return facts
