"""Train a language model, follow the run's events, then stream generated text.

python examples/language_model.py corpora/stories.txt stories
"""

import argparse

import rnntext
from rnntext.training.events import Evaluated, Saved, Step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a text file")
    parser.add_argument("output", help="the model's directory")
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()

    events = rnntext.train_events(
        "lm", given.data, given.output, tokenizer="word", epochs=given.epochs, seed=1
    )
    for event in events:
        match event:
            case Step(step=step, loss=loss):
                print(f"step {step}: loss {loss:.2f} nats")
            case Evaluated(metrics=metrics):
                print(f"validation perplexity {metrics['perplexity']:.1f}")
            case Saved(directory=directory):
                print(f"saved as {directory}")

    model = rnntext.load(given.output)
    print("The heron", end="", flush=True)
    for piece in model.stream("The heron"):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
