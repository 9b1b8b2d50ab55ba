"""Windows against PyTorch's convolution, and embeddings at padding."""

from __future__ import annotations

import pytest
import torch

from rnntext.training.comparison.layers import Embedded, Window
from tests.training.comparison.networks import CONFIG, RECIPE


@pytest.mark.parametrize(("width", "dilation"), [(1, 1), (3, 1), (4, 1), (3, 2)])
def test_a_window_is_a_convolution(width: int, dilation: int) -> None:
    torch.manual_seed(0)
    window = Window(2, 5, width, dilation)
    x = torch.randn(11, 3, 2)  # (T, B, I)
    # (H, width * I) -> (H, I, width)
    weight = window.linear.weight.view(5, width, 2).transpose(1, 2)
    expected = torch.nn.functional.conv1d(
        x.permute(1, 2, 0), weight, window.linear.bias, dilation=dilation
    ).permute(2, 0, 1)
    assert len(expected) == 11 - window.reach
    torch.testing.assert_close(window(x), expected)


def test_a_centred_window_has_its_place_in_the_middle() -> None:
    window = Window(1, 1, 3)
    with torch.no_grad():
        window.linear.weight.copy_(torch.tensor([[100.0, 10.0, 1.0]]))
    x = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    assert window.centred(x).flatten().tolist() == [12.0, 123.0, 230.0]


def test_embeddings_are_zero_at_padding() -> None:
    embedded = Embedded(CONFIG.encoder, RECIPE).eval()
    found = embedded(torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1]))
    assert found.shape == (3, 2, CONFIG.encoder.embed_size)
    assert found[1:, 1].eq(0).all()
    assert found[0, 1].ne(0).all()
    assert found[:, 0].ne(0).all()
