"""`rnntext info`: facts about a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.options import OutputOptions
from rnntext.cli.signature import expanded
from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError


@expanded
def command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the model.")],
    printing: OutputOptions,
) -> None:
    """Describe a model: task, encoder, size, labels, data, results."""
    facts = describe(directory)
    if printing.json:
        output.write(output.json_line(facts))
    else:
        pairs = {
            name: ", ".join(map(str, value)) if isinstance(value, list) else value
            for name, value in facts.items()
        }
        output.print_pairs(pairs, str(directory))


def describe(directory: Path) -> dict[str, Any]:
    """Facts about a checkpoint, by name. Raises CheckpointError."""
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
    float32 = results.get("float32", results.get("metrics", {}))
    if config["precision"] == "float32":
        return output.add_metrics(facts, float32)
    facts = output.add_metrics(facts, results["metrics"])
    # A run with --quantize measures float32 as well; `export --int8 --valid` measures int8.
    quantization = config.get("quantization", {})
    for precision, metrics in (
        ("float32", results.get("float32")),
        ("int8", quantization.get("metrics")),
    ):
        scalars = output.scalar_metrics(metrics or {})
        facts.update({f"{precision}_{name}": value for name, value in scalars.items()})
    return facts
