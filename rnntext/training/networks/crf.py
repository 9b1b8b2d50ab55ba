"""The linear-chain conditional random field (Lafferty, McCallum and Pereira 2001) in training.

Knows: the likelihood of a tag sequence given emissions, and the likeliest sequence, on any device.
Does not know: probabilities of single tags, which `runtime/crf.py` has, in NumPy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The score of what may not be: small enough to vanish in a sum of exponentials, large enough
# to stay finite when several of them add up.
FORBIDDEN = -1e4


class ConditionalRandomField(nn.Module):
    """Scores of starting with, moving between and ending with tags."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))  # from, to
        self.end = nn.Parameter(torch.zeros(num_labels))

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """emissions (B, W, L), tags (B, W), lengths (B) of at least 1 -> (B), in nats."""
        return self.score(emissions, tags, lengths) - self.log_partition(emissions, lengths)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The score of the given tags, before normalisation: (B)."""
        words = emissions.shape[1]
        valid = torch.arange(words, device=tags.device) < lengths[:, None]  # (B, W)
        emitted = emissions.gather(2, tags[..., None]).squeeze(2) * valid  # (B, W)
        moved = self.transitions[tags[:, :-1], tags[:, 1:]] * valid[:, 1:]  # (B, W - 1)
        final = tags.gather(1, lengths[:, None] - 1).squeeze(1)  # (B)
        return self.start[tags[:, 0]] + emitted.sum(1) + moved.sum(1) + self.end[final]

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm of the sum over all tag sequences, by the forward recursion: (B)."""
        alpha = self.start + emissions[:, 0]  # (B, L)
        for word in range(1, emissions.shape[1]):
            # (B, from, 1) + (from, to) -> (B, to)
            following = torch.logsumexp(alpha[:, :, None] + self.transitions, dim=1)
            following = following + emissions[:, word]
            alpha = torch.where((word < lengths)[:, None], following, alpha)
        return torch.logsumexp(alpha + self.end, dim=1)

    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest tags (Viterbi 1967): (B, W); what is past a row's length means nothing."""
        words = emissions.shape[1]
        score = self.start + emissions[:, 0]  # (B, L)
        came_from: list[Tensor] = []  # of each later word, (B, L)
        stay = torch.arange(score.shape[1], device=score.device).expand_as(score)
        for word in range(1, words):
            best, previous = (score[:, :, None] + self.transitions).max(dim=1)  # (B, to)
            inside = (word < lengths)[:, None]
            score = torch.where(inside, best + emissions[:, word], score)
            came_from.append(torch.where(inside, previous, stay))
        tag = (score + self.end).argmax(1)  # (B)
        path = [tag]
        for previous in reversed(came_from):
            tag = previous.gather(1, tag[:, None]).squeeze(1)
            path.append(tag)
        return torch.stack(path[::-1], dim=1)


def forbid_broken_spans(field: ConditionalRandomField, labels: list[str]) -> None:
    """For BIO tags: no `I-X` at a sentence's start, nor after anything but `B-X` and `I-X`."""
    with torch.no_grad():
        for to, label in enumerate(labels):
            if not label.startswith("I-"):
                continue
            field.start[to] = FORBIDDEN
            for came_from, before in enumerate(labels):
                if before not in (label, "B-" + label[2:]):
                    field.transitions[came_from, to] = FORBIDDEN
