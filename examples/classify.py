"""Train a classifier, measure it, list its worst mistakes, draw its reliability, and label texts.

python examples/classify.py corpora/reviews.csv sentiment
"""

import argparse

import rnntext


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a table with the columns text and label")
    parser.add_argument("output", help="the model's directory")
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()

    saved = rnntext.train("classify", given.data, given.output, epochs=given.epochs, seed=1)
    print(f"validation accuracy {saved.metrics['accuracy']:.3f} after {saved.steps} steps")

    metrics = rnntext.evaluate(
        given.output, given.data, errors=3, output=f"{given.output}-answers.png"
    )
    print(f"accuracy on all of the data {metrics['accuracy']:.3f}")
    for mistake in metrics["errors"]:
        print(f"{mistake['predicted']}, not {mistake['gold']}: {mistake['text']}")

    model = rnntext.load(given.output)
    for answer in model.classify(["A warm and funny book.", "The soup was cold."]):
        print(f"{answer.label}\t{answer.probability:.2f}\t{answer.text}")


if __name__ == "__main__":
    main()
