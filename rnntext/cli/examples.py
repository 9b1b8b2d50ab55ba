"""Worked examples of every command, for the end of its help.

Knows: command lines that can be typed as they stand, on files of the reader's own. Does not know:
how help is laid out, or what a command does. Only a page of help imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping

# Titles of the options that are a command's own, in the help of a command with many.
OWN_SECTIONS: Mapping[str, str] = {
    "generate": "Sampling",
    "predict": "Words",
    "score": "Scores",
    "classify": "Labels",
    "tag": "Words",
    "embed": "Vectors",
    "evaluate": "Bounds and reports",
    "compare memory": "Experiment",
    "inspect states": "View",
    "inspect memory": "View",
    "inspect neighbours": "View",
    "inspect explain": "View",
    "inspect surprise": "View",
    "inspect unroll": "View",
}

# By command: what an example does, and its line.
EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "rnntext": (
        ("See a language model, a classifier and a tagger at work", "rnntext demo"),
        (
            "Train a classifier on a table with the columns text and label, and use it",
            "rnntext train classify reviews.csv -o sentiment\n"
            "echo 'A warm and funny book.' | rnntext classify -m sentiment",
        ),
        ("The options of a command", "rnntext generate --help"),
    ),
    "help": (
        ("The options of a command", "rnntext help classify"),
        ("Those of a task, and of a view", "rnntext help train lm\nrnntext help inspect states"),
    ),
    "train": (
        ("A language model of a book", "rnntext train lm book.txt -o prose"),
        (
            "A classifier of the texts in a table with the columns text and label",
            "rnntext train classify reviews.csv -o sentiment",
        ),
        ("A tagger from words with their tags", "rnntext train tag english.conllu -o pos"),
        ("The options of a task", "rnntext train lm --help"),
    ),
    "train lm": (
        ("A model of all text files in a folder", "rnntext train lm books/ -o prose"),
        (
            "A larger one, in half an hour for everything",
            "rnntext train lm books/ --preset medium --minutes 30 -o prose",
        ),
        (
            "A GRU on characters, from a column of a table",
            "rnntext train lm posts.csv --text-column body --cell gru --tokenizer char \\\n"
            "    -o posts",
        ),
        ("Go on with a run that was stopped", "rnntext train lm books/ -o prose --resume"),
    ),
    "train classify": (
        (
            "From a table with the columns text and label",
            "rnntext train classify reviews.csv -o sentiment",
        ),
        (
            "With columns of other names, and validation data of your own",
            "rnntext train classify tickets.csv --text-column body --label-column team \\\n"
            "    --valid new.csv -o tickets",
        ),
        (
            "Several labels a text, searching for the best options for ten minutes",
            "rnntext train classify papers.jsonl --multi-label --tune 10 -o topics",
        ),
        (
            "What the data are, without training",
            "rnntext train classify reviews.csv --dry-run",
        ),
    ),
    "train tag": (
        ("Parts of speech, from CoNLL-U", "rnntext train tag english.conllu -o pos"),
        (
            "Names, from columns of words and tags, for at most ten minutes",
            "rnntext train tag names.conll --valid dev.conll --minutes 10 -o names",
        ),
        (
            "Start from a language model of the same language",
            "rnntext train tag english.conllu --tag-column xpos --init prose -o pos",
        ),
    ),
    "generate": (
        ("Go on from a prompt", "rnntext generate -m demo:stories 'The old lamp'"),
        (
            "Three calmer samples of at most 50 tokens",
            "rnntext generate -m demo:stories 'The lamp' -n 50 --temperature 0.5 \\\n"
            "    --num-samples 3",
        ),
        (
            "A continuation of each line, the same each time",
            "rnntext generate -m demo:stories --record line --seed 1 < prompts.txt",
        ),
    ),
    "predict": (
        (
            "The five likeliest words after a text",
            "rnntext predict -m demo:stories --text 'The old'",
        ),
        (
            "Ways to end the word that each line stops in",
            "rnntext predict -m demo:stories --complete -k 3 < lines.txt",
        ),
        ("Words under the text as you type", "rnntext predict -m demo:stories"),
    ),
    "score": (
        ("The perplexity of each line", "rnntext score -m demo:stories draft.txt"),
        (
            "The odd lines of a log, as they arrive",
            "tail -f app.log | rnntext score -m logs --with-text --above 8",
        ),
        (
            "How unexpected each word is",
            "rnntext score -m demo:stories --words --text 'The old lamp'",
        ),
    ),
    "classify": (
        ("The label of a text", "rnntext classify -m demo:reviews --text 'A warm and funny book.'"),
        (
            "The two likeliest labels of each row, as JSON Lines",
            "rnntext classify -m demo:reviews -k 2 --json reviews.csv",
        ),
        (
            "Only labels that are rather certain, beside their texts",
            "rnntext classify -m demo:reviews --threshold 0.9 --with-text < lines.txt",
        ),
    ),
    "tag": (
        ("The tags of a sentence", "rnntext tag -m demo:tags --text 'Mara rows home.'"),
        (
            "Sentences whose words are parted by spaces already",
            "rnntext tag -m demo:tags --pretokenized sentences.txt > tagged.tsv",
        ),
    ),
    "embed": (
        (
            "A line of numbers for each text",
            "rnntext embed -m sentiment lines.txt > vectors.tsv",
        ),
        (
            "The texts as a cloud, in TensorBoard's projector",
            "rnntext embed -m sentiment lines.txt --tensorboard cloud",
        ),
    ),
    "evaluate": (
        (
            "How good a model is on data that it has not seen",
            "rnntext evaluate -m demo:tags test.conllu",
        ),
        (
            "Fail, with status 3, where it is not good enough",
            "rnntext evaluate -m sentiment test.csv --min accuracy=0.9 --min f1.good=0.8",
        ),
        (
            "The twenty worst mistakes, and every answer in a file",
            "rnntext evaluate -m sentiment test.csv --errors 20 --predictions answers.csv",
        ),
    ),
    "info": (
        ("What a model is and how good it was", "rnntext info demo:reviews"),
        ("One figure, for a script", "rnntext info demo:reviews --json | jq .accuracy"),
    ),
    "export": (
        ("One file for another runtime", "rnntext export sentiment -o sentiment.onnx"),
        (
            "Run in int8 from now on, measured before and after",
            "rnntext export sentiment --int8 --valid test.csv",
        ),
        (
            "What running needs and no more",
            "rnntext export sentiment --slim -o production",
        ),
    ),
    "plot": (
        ("The curves of two runs, one over the other", "rnntext plot small large"),
        (
            "A picture of the accuracy over time",
            "rnntext plot sentiment --metric accuracy --x seconds -o curves.svg",
        ),
    ),
    "demo": (
        ("Three small models that come with rnntext", "rnntext demo"),
        ("Train such models yourself, and keep them", "rnntext demo --train -o models"),
        ("What a recurrent network is, in ten commands", "rnntext demo --tour -o tour"),
    ),
    "inspect": (
        (
            "The words that surprise a language model",
            "rnntext inspect surprise -m demo:stories --text 'The old lamp sang.'",
        ),
        (
            "The words that decided a label, as a page for a browser",
            "rnntext inspect explain -m sentiment reviews.txt -o reasons.html",
        ),
        ("The options of a view", "rnntext inspect states --help"),
    ),
    "inspect unroll": (
        (
            "The network over five words",
            "rnntext inspect unroll -m prose --text 'The old lamp went out'",
        ),
        (
            "With the gradients that flow back, as a picture",
            "rnntext inspect unroll -m prose --text 'The old lamp' --backward -o unroll.svg",
        ),
    ),
    "inspect states": (
        (
            "The units of the last layer over a text",
            "rnntext inspect states -m prose --text 'He said \"come in\" twice.'",
        ),
        (
            "The units that know whether a quotation is open",
            "rnntext inspect states -m prose lines.txt --track quotes --corpus book.txt",
        ),
    ),
    "inspect gates": (
        (
            "How far the gates open at each word",
            "rnntext inspect gates -m prose --text 'The old lamp went out.'",
        ),
    ),
    "inspect memory": (
        (
            "How long two models remember a token, in one picture",
            "rnntext inspect memory -m lstm -m rnn book.txt -o memory.png",
        ),
        (
            "With the gradient, up to 100 tokens back",
            "rnntext inspect memory -m prose book.txt --gradient --distance 100",
        ),
    ),
    "inspect surprise": (
        (
            "The words of a text by their surprisal",
            "rnntext inspect surprise -m demo:stories --text 'The old lamp sang.'",
        ),
        (
            "With the five words expected most, as JSON Lines",
            "rnntext inspect surprise -m demo:stories -k 5 --json lines.txt",
        ),
    ),
    "inspect neighbours": (
        (
            "The tokens nearest to two words",
            "rnntext inspect neighbours -m prose --word lamp --word boat",
        ),
        (
            "The lines of a file nearest to a text",
            "rnntext inspect neighbours -m prose --text 'A lamp' --corpus book.txt",
        ),
    ),
    "inspect explain": (
        (
            "The words that decided the label of a text",
            "rnntext inspect explain -m sentiment --text 'A warm and funny book.'",
        ),
        (
            "The words that decided the tag of one of them",
            "rnntext inspect explain -m pos --text 'Water the plant.' --word plant",
        ),
    ),
    "compare": (
        ("Classifiers on your data", "rnntext compare classify reviews.csv --minutes 1"),
        ("How far back networks remember", "rnntext compare memory"),
    ),
    "compare lm": (
        ("Every model for a minute", "rnntext compare lm book.txt --minutes 1"),
        (
            "With five seeds each, as a picture",
            "rnntext compare lm book.txt --epochs 10 --seeds 5 -o models.svg",
        ),
    ),
    "compare classify": (
        ("Every model for a minute", "rnntext compare classify reviews.csv --minutes 1"),
        (
            "With five seeds each, as JSON Lines",
            "rnntext compare classify reviews.csv --epochs 5 --seeds 5 --json",
        ),
    ),
    "compare tag": (
        ("Every model for a minute", "rnntext compare tag english.conllu --minutes 1"),
        (
            "On validation data of your own",
            "rnntext compare tag english.conllu --valid dev.conllu --minutes 2",
        ),
    ),
    "compare memory": (
        ("Both tasks, in a picture", "rnntext compare memory -o memory.svg"),
        (
            "One of them, over longer distances",
            "rnntext compare memory --task recall --distances 10,20,40,80 --steps 2000",
        ),
    ),
}
