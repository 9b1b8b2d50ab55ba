"""Linear-chain conditional random field (Lafferty, McCallum and Pereira 2001), for training, and
what stands in its place where each tag is chosen by itself.

Knows: the likelihood of a tag sequence given its emissions, and Viterbi decoding, on any device.
Does not know: the marginal probabilities of single tags (`runtime/crf.py` has them, in NumPy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnntext.config import FORBIDDEN_SCORE, ModelConfig


class ConditionalRandomField(nn.Module):
    """Scores of the first tag, of transitions between tags, and of the last tag."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))  # from, to
        self.end = nn.Parameter(torch.zeros(num_labels))

    def paths(self) -> tuple[Tensor, ...]:
        """The scores of the first tag (L), of transitions (L, L) and of the last tag (L)."""
        return self.start, self.transitions, self.end

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Log-likelihood of tags (B, W) given emissions (B, W, L): (B), in nats. `lengths` (B) are
        at least 1."""
        return self.score(emissions, tags, lengths) - self.log_partition(emissions, lengths)

    def score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Unnormalized score of a tag sequence: (B)."""
        words = emissions.shape[1]
        valid = torch.arange(words, device=tags.device) < lengths[:, None]  # (B, W)
        emitted = emissions.gather(2, tags[..., None]).squeeze(2) * valid  # (B, W)
        transitions = self.transitions[tags[:, :-1], tags[:, 1:]] * valid[:, 1:]  # (B, W - 1)
        last = tags.gather(1, lengths[:, None] - 1).squeeze(1)  # (B)
        return self.start[tags[:, 0]] + emitted.sum(1) + transitions.sum(1) + self.end[last]

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Logarithm of the partition function, the sum over all tag sequences, by the forward
        algorithm: (B)."""
        alpha = self.start + emissions[:, 0]  # (B, L)
        for word in range(1, emissions.shape[1]):
            # (B, from, 1) + (from, to) -> (B, to)
            next_alpha = torch.logsumexp(alpha[:, :, None] + self.transitions, dim=1)
            next_alpha = next_alpha + emissions[:, word]
            alpha = torch.where((word < lengths)[:, None], next_alpha, alpha)
        return torch.logsumexp(alpha + self.end, dim=1)

    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The tag sequence with the highest score (Viterbi 1967): (B, W). Tags at padding have no
        meaning."""
        words = emissions.shape[1]
        score = self.start + emissions[:, 0]  # (B, L)
        backpointers: list[Tensor] = []  # of each word but the first, (B, L)
        same_tag = torch.arange(score.shape[1], device=score.device).expand_as(score)
        for word in range(1, words):
            best, previous = (score[:, :, None] + self.transitions).max(dim=1)  # (B, to)
            valid = (word < lengths)[:, None]
            score = torch.where(valid, best + emissions[:, word], score)
            backpointers.append(torch.where(valid, previous, same_tag))
        tag = (score + self.end).argmax(1)  # (B)
        path = [tag]
        for previous in reversed(backpointers):
            tag = previous.gather(1, tag[:, None]).squeeze(1)
            path.append(tag)
        return torch.stack(path[::-1], dim=1)


class IndependentTags(nn.Module):
    """Tags that do not depend on each other, each with the softmax of its word's emissions."""

    def paths(self) -> tuple[Tensor, ...]:
        """There are no scores of paths."""
        return ()

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The same as of a ConditionalRandomField."""
        valid = torch.arange(emissions.shape[1], device=tags.device) < lengths[:, None]  # (B, W)
        of_tags = emissions.log_softmax(2).gather(2, tags[..., None]).squeeze(2)  # (B, W)
        return torch.where(valid, of_tags, 0.0).sum(1)

    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The same as of a ConditionalRandomField."""
        return emissions.argmax(2)


def make_decoder(config: ModelConfig) -> ConditionalRandomField | IndependentTags:
    """Make what tells the likelihood of a tagger's tags, and finds the likeliest ones."""
    return ConditionalRandomField(len(config.labels)) if config.crf else IndependentTags()


def field_with(paths: Sequence[NDArray[Any]]) -> ConditionalRandomField:
    """Make a field with these scores of the first tag, of transitions and of the last tag."""
    crf = ConditionalRandomField(len(paths[0]))
    with torch.no_grad():
        for parameter, scores in zip(crf.paths(), paths, strict=True):
            parameter.copy_(torch.from_numpy(scores))
    return crf


def forbid_broken_spans(crf: ConditionalRandomField, labels: list[str]) -> None:
    """Forbid transitions that are invalid in BIO tagging: `I-X` may only follow `B-X` or `I-X`,
    and may not start a sentence. `labels` are span tags (`metrics.is_span_tags`)."""
    with torch.no_grad():
        for to, label in enumerate(labels):
            if not label.startswith("I"):
                continue
            crf.start[to] = FORBIDDEN_SCORE
            for previous, previous_label in enumerate(labels):
                if previous_label not in (label, "B" + label[1:]):
                    crf.transitions[previous, to] = FORBIDDEN_SCORE
