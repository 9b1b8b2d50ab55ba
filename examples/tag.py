"""Start a tagger from a language model of the same words, convert it to int8, tag a sentence.

python examples/tag.py corpora/tagged.conllu tags
"""

import argparse
from pathlib import Path

import rnntext


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="a treebank in CoNLL-U")
    parser.add_argument("output", help="the model's directory")
    parser.add_argument("--epochs", type=int, default=5)
    given = parser.parse_args()

    # A language model learns from plain text; here from the words of the treebank.
    output = Path(given.output)
    text = output.with_name(f"{output.name}.txt")
    lines = Path(given.data).read_text("utf-8").splitlines()
    text.write_text(
        "".join(line.removeprefix("# text = ") + "\n" for line in lines if "# text" in line),
        "utf-8",
    )
    base = output.with_name(f"{output.name}-base")
    rnntext.train("lm", text, base, epochs=given.epochs, seed=1)

    saved = rnntext.train("tag", given.data, output, init=str(base), epochs=given.epochs, seed=1)
    print(f"validation accuracy {saved.metrics['accuracy']:.3f}")

    exported = rnntext.export(output, precision="int8", valid=given.data)
    accuracy = (exported.metrics or {})["accuracy"]
    print(f"accuracy in int8 {accuracy:.3f}, {exported.size} bytes")

    (sentence,) = rnntext.load(output).tag(["Captain Quill can't light the old lamp."])
    print(" ".join(f"{w}/{t}" for w, t in zip(sentence.words, sentence.tags, strict=True)))


if __name__ == "__main__":
    main()
