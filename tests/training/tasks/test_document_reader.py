"""Documents of any length, read with a classifier's network as one by one."""

from __future__ import annotations

import numpy as np
import torch

from rnntext.training.networks.classifier import Classifier
from rnntext.training.tasks.document_reader import DocumentReader
from tests.training.models import CPU, DOCUMENTS, Array, V, random_model


def alone(model: Classifier, ids: Array) -> Array:
    with torch.no_grad():
        logits = model(torch.from_numpy(ids)[None].long(), torch.tensor([len(ids)]))
    return logits[0].double().numpy()


def test_long_documents_are_read_in_windows() -> None:
    """The logits of 40 tokens are the mean over windows of 16, 16 and 8, weighted by length."""
    model = random_model("classify")
    found = DocumentReader(CPU, 16).logits(model, DOCUMENTS).double().numpy()
    for row, ids in zip(found, DOCUMENTS, strict=True):
        parts = [ids[start : start + 16] for start in range(0, len(ids), 16)]
        want = sum(len(part) / len(ids) * alone(model, part) for part in parts)
        np.testing.assert_allclose(row, want, rtol=1e-4, atol=1e-5)
    assert np.abs(found[2] - alone(model, DOCUMENTS[2])).max() > 1e-3


def test_a_forward_model_reads_documents_to_their_end_in_windows() -> None:
    """In a batch, of which some end with a window and some within one."""
    lengths = (16, 40, 1, 17, 32, 15, 33, 48, 31)
    documents = [np.random.default_rng(n).integers(1, V, size=n) for n in lengths]
    model = random_model("classify", bidirectional=False)
    found = DocumentReader(CPU, 16).logits(model, documents).double().numpy()
    for logits, ids in zip(found, documents, strict=True):
        np.testing.assert_allclose(logits, alone(model, ids), atol=1e-5)
