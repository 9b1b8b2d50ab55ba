"""`rnntext demo --tour`: what a recurrent network is, one command after the other.

Knows: the stops of the tour, their words and their commands, and how a stop is shown on a terminal
and written to a page. Does not know: what the commands do. Each runs in a process of its own, as in
a shell.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from rnntext.cli import output
from rnntext.errors import RnntextError
from rnntext.files import write_file

_WIDTH = 88  # of the words
PICTURES = "pictures"
PAGE = "tour.md"
_INTERRUPTED = 130  # the exit status after Ctrl-C


@dataclass(frozen=True, slots=True)
class Stop:
    """A paragraph or several, and a command that shows what they say."""

    title: str
    words: str
    command: str  # without `rnntext`
    picture: str = ""  # the name of the picture that the command writes, if it draws one


def _train(name: str, data: str, task: str, options: str) -> Stop:
    command = f"train {task} {data} --tokenizer word {options} --seed 1 -q -o {name}"
    return Stop("", "", command)


MODELS = (
    _train("rnn", "stories.txt", "lm", "--cell rnn --epochs 20"),
    _train("gru", "stories.txt", "lm", "--cell gru --epochs 20"),
    _train("lstm", "stories.txt", "lm", "--cell lstm --epochs 20"),
    _train("reviews", "reviews.csv", "classify", "--minutes 0.4"),
)

STOPS = (
    Stop(
        "A text is a sequence",
        "A language model reads a text from left to right, one token after the other. Before "
        "each token it says how likely every word of its vocabulary is to come next. A word "
        "that it thought unlikely surprises it: a word with a probability of 1/2 has one bit of"
        " surprisal, one with 1/1024 has ten. Here is how much each word of a sentence "
        "surprises a model that has read the tales of one small town twenty times over, and "
        "what it expected instead.",
        "inspect surprise -m lstm --text 'The old heron stood by the lamp.'",
        "surprise",
    ),
    Stop(
        "Recurrence",
        "How can a network of a fixed size read a text of any length? It reads one token at a "
        "time and keeps notes. The notes are its state, a list of numbers. At each step the "
        "network takes the token and its own state from the step before, and makes a new state."
        " That it feeds on its own output is what recurrent means. Drawn once for each step, "
        "the loop becomes a chain: the network is unrolled. The real numbers of a small one are"
        " in the boxes; each strip is a few of its units, blue below zero and orange above.",
        "inspect unroll -m rnn --text 'The heron stood by the lamp.'",
        "unroll",
    ),
    Stop(
        "Shared weights",
        "All boxes of a row are copies of one network: they use the same weights, the matrices "
        "at the end of the last picture. So the number of parameters does not depend on how "
        "long a text is, and what the network learns about a word in one place it knows in "
        "every other.",
        "info rnn",
    ),
    Stop(
        "The hidden state",
        "The state after a word is all that the network knows of the text so far. Each row "
        "below is one unit of it, each column a word. Some units change with every word, others"
        " keep a value for a long time. What a unit stands for nobody has told it: it has found"
        " a use for it, because that made the next word less surprising.",
        "inspect states -m lstm --units 16 --text 'The old heron stood on the wall, and Mara "
        "came home.'",
        "states",
    ),
    Stop(
        "Back-propagation through time",
        "To learn, the network compares what it said with what came, and asks of every weight: "
        "had it been a little larger, how would the error have changed? The answer is a "
        "gradient, and it is computed backwards: from the error to the last state, from there "
        "through the shared weights to the state before, and so on to the first word. The "
        "diagram again, with the size of the gradient (the sign is ∇) that arrives at each "
        "state. It goes against the arrows.",
        "inspect unroll -m rnn --backward --text 'The heron stood by the lamp.'",
        "backward",
    ),
    Stop(
        "The vanishing gradient",
        "On the way back the gradient is multiplied by the same matrix at every step, and by "
        "the slope of a squashing function, which is at most 1. So it usually shrinks, step by "
        "step, until nothing of it is left: a word that lies far back gets no blame for an "
        "error, and the network cannot learn to remember it. Below, how much of the gradient is"
        " left k tokens back (on a logarithmic scale), and how long the state and the "
        "predictions of three models still differ after one word was changed.",
        "inspect memory --gradient -m rnn -m gru -m lstm stories.txt",
        "memory",
    ),
    Stop(
        "Gates",
        "An LSTM and a GRU have a second way for the state to go on: by itself, without being "
        "multiplied by a matrix. Gates, numbers between 0 and 1 that depend on the word and the"
        " state, decide how much of it is kept and how much is written anew. The forget gate of"
        " an LSTM is the share of its memory, the cell, that is kept at a step.",
        "inspect gates -m lstm --text 'The old heron stood on the wall, and Mara came home.'",
        "gates",
    ),
    Stop(
        "How far back each can remember",
        "A task on which nothing but memory helps: a letter goes by, then follow tokens that "
        "mean nothing, then the network must name the letter. The feed-forward network sees a "
        "window of a few tokens, and knows nothing of what was before it. The vanilla RNN "
        "remembers further than the window, until its gradient has vanished.",
        "compare memory --task recall --seeds 1",
        "long-memory",
    ),
    Stop(
        "Does order matter? Recurrent and other networks",
        "A network need not be recurrent. A bag of words adds up the words and does not see "
        "their order. A convolution looks at a few neighbouring words at a time. A linear model"
        " of n-grams counts words and pairs of words. The table shows how they do on the same "
        "reviews, with about as many parameters each. On so little text the linear model is "
        "hard to beat; that is why rnntext adds one to its classifiers.",
        "compare classify reviews.csv --tokenizer word --epochs 4 --seeds 1 --threads 1",
        "compare",
    ),
    Stop(
        "Which words decided",
        "Why does a classifier say what it says? Each word gets a share in the answer; the "
        "shares add up to it. This sentence is praise, and the model takes it for blame: it has"
        " learned that boring is bad, and three thousand reviews were not enough to learn what "
        "never does to it. A model that is wrong is worth looking into.",
        "inspect explain -m reviews --text 'Never boring, and never too long.'",
        "explain",
    ),
)


def walk(directory: Path, corpora: Path, *, kept: bool) -> None:
    """Train the models of the tour in `directory` and show its stops. With `kept` also write the
    page `tour.md` with its pictures there. Raises RnntextError if a command fails."""
    for name in ("stories.txt", "reviews.csv"):
        shutil.copyfile(corpora / name, directory / name)
    output.write("\nFour small models learn from the sample text first.\n\n")
    for model in MODELS:
        output.write(f"  $ rnntext {model.command}\n")
        _run(model.command, directory)
    for number, stop in enumerate(STOPS, 1):
        output.write(f"\n{number}. {stop.title}\n\n{_wrapped(stop.words)}\n")
        output.write(f"\n  $ rnntext {stop.command}\n\n")
        _run(stop.command, directory)
        if number < len(STOPS):
            _pause()
    if kept:
        write_page(directory)


def write_page(directory: Path) -> None:
    """Write `tour.md` and its pictures, from the models in `directory`. Raises RnntextError."""
    (directory / PICTURES).mkdir(exist_ok=True)
    parts = [_HEAD]
    for number, stop in enumerate(STOPS, 1):
        parts.append(f"\n## {number}. {stop.title}\n\n{_wrapped(stop.words)}\n")
        parts.append(f"\n```sh\nrnntext {stop.command}\n```\n")
        if stop.picture:
            place = f"{PICTURES}/{stop.picture}.svg"
            _run(f"{stop.command} -o {place}", directory, quiet=True)
            parts.append(f"\n![{stop.title}]({place})\n")
        else:
            parts.append(f"\n```\n{_printed(stop.command, directory)}```\n")
    write_file(directory / PAGE, "".join(parts).encode())


_HEAD = (
    """# A tour of recurrent networks

What a recurrent network is, in ten commands and on your own machine: `rnntext demo --tour` walks
you through them. It trains four small models first, which takes two minutes:

```sh
"""
    + "".join(f"rnntext {model.command}\n" for model in MODELS)
    + """```

The pictures below were written by the commands above them, with `-o`; `rnntext demo --tour -o DIR`
wrote this page. Your numbers will differ a little: what a model learns depends on the machine.
"""
)


def _run(command: str, directory: Path, *, quiet: bool = False) -> None:
    """Run a command as a shell in `directory` would. Its own error is on stderr already."""
    finished = subprocess.run(  # noqa: S603 - a command of the tour
        [sys.executable, "-m", "rnntext", *shlex.split(command)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    if finished.returncode == _INTERRUPTED:
        raise KeyboardInterrupt
    if finished.returncode:
        raise RnntextError(f"the tour ends here: `rnntext {command}` failed")


def _printed(command: str, directory: Path) -> str:
    """What a command prints into a pipe."""
    finished = subprocess.run(  # noqa: S603 - a command of the tour
        [sys.executable, "-m", "rnntext", *shlex.split(command)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return finished.stdout.decode()


def _pause() -> None:
    """Wait for Enter where a reader sits at a terminal."""
    if output.on_terminal() and sys.stdin is not None and sys.stdin.isatty():
        output.write("\n(Enter goes on, Ctrl-C ends) ")
        sys.stdin.readline()


def _wrapped(words: str) -> str:
    return textwrap.fill(words, _WIDTH, break_on_hyphens=False)
