"""What the encoder does in training alone, its dropout, and the weights it starts with.

What its cells compute is in `test_model.py`.
"""

from __future__ import annotations

import pytest
import torch

from rnntext.config import EncoderConfig
from rnntext.training.networks.encoder import (
    LockedDropout,
    RecurrentEncoder,
    TokenDropout,
    make_cell,
)
from tests.training.networks.test_model import CELLS, GATES, B, E, H, T, encoder_config, random_ids

torch.set_num_threads(1)

# Dropout


def test_locked_dropout_has_one_mask_for_all_steps() -> None:
    torch.manual_seed(0)
    dropout = LockedDropout(0.25).train()
    x = 2.0 ** torch.arange(T)[:, None, None].expand(T, 40, 50)  # divides exactly
    factor = dropout(x) / x
    assert torch.equal(factor, factor[:1].expand_as(factor))
    assert sorted(set(factor.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert not torch.equal(factor[0, 0], factor[0, 1])  # rows have masks of their own
    assert float(factor[0].mean()) == pytest.approx(1, abs=0.05)
    assert not torch.equal(dropout(x), factor * x)  # a fresh one each time
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize("kind", [LockedDropout, TokenDropout])
def test_without_dropout_nothing_is_drawn(kind: type[LockedDropout | TokenDropout]) -> None:
    """So that a run without dropout takes its other random numbers from the same place."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    x = torch.rand(T, B, E, generator=torch.Generator().manual_seed(1))
    assert torch.equal(kind(0.0).train()(x), x)
    assert torch.equal(kind(0.5).eval()(x), x)
    assert torch.equal(torch.get_rng_state(), before)
    kind(0.5).train()(x)
    assert not torch.equal(torch.get_rng_state(), before)


def test_dropout_can_be_scaled_down() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(encoder_config("gru", 2), 0.5, 0.0).train()
    encoder.scale_dropout(0.2)
    x = torch.ones(1, 100, 100)
    for layer, dropped in ((encoder.dropout, 0.1), (encoder.input_dropout, 0.05)):
        y = layer(x)
        assert float((y == 0).float().mean()) == pytest.approx(dropped, abs=0.01)
        assert float(y.max()) == pytest.approx(1 / (1 - dropped))
    encoder.scale_dropout(0)
    assert torch.equal(encoder.dropout(x), x)


def test_token_dropout_leaves_out_whole_tokens() -> None:
    torch.manual_seed(0)
    dropout = TokenDropout(0.3).train()
    x = torch.rand(30, 40, E) + 0.5
    y = dropout(x)
    gone = (y == 0).all(-1)  # (T, B)
    assert float(gone.float().mean()) == pytest.approx(0.3, abs=0.05)
    assert torch.equal(y[~gone], x[~gone])
    assert torch.equal(dropout.eval()(x), x)


def test_an_encoder_in_training_drops_and_in_evaluation_does_not() -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(encoder_config("gru", 2), 0.5, 0.0)
    ids = random_ids(B, T)
    outputs, _ = encoder.train()(ids)
    # A unit that is left out is so at all steps of a row.
    zero = outputs == 0
    assert zero.any()
    assert torch.equal(zero, zero[:1].expand_as(zero))
    encoder.eval()
    assert not (encoder(ids)[0] == 0).any()
    assert torch.equal(encoder(ids)[0], encoder(ids)[0])


# Fresh weights


@pytest.mark.parametrize("cell", CELLS)
def test_fresh_cells(cell: str) -> None:
    torch.manual_seed(0)
    parameters = dict(make_cell(cell, E, H).named_parameters())
    biases = torch.cat([parameters["bias_ih_l0"], parameters["bias_hh_l0"]]).tolist()
    expected = [0.0] * (2 * GATES[cell] * H)
    if cell == "lstm":
        expected[H : 2 * H] = [1.0] * H
    assert biases == expected
    for gate in parameters["weight_hh_l0"].split(H):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(H), rtol=0, atol=1e-5)


def test_a_fresh_lstm_keeps_its_cell() -> None:
    """With no input the forget gate is sigmoid(1), so 73 % of the cell stays."""
    module = make_cell("lstm", E, H)
    with torch.no_grad():
        module.weight_hh_l0.zero_()
        _, (_, cell) = module(torch.zeros(1, 1, E), (torch.zeros(1, 1, H), torch.ones(1, 1, H)))
    torch.testing.assert_close(cell, torch.full((1, 1, H), 0.731059), rtol=1e-5, atol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_fresh_input_weights_suit_their_widths(cell: str) -> None:
    """Glorot and Bengio's uniform distribution, for the matrix of each gate: the bound is
    sqrt(6 / (inputs + units)). PyTorch's own is 1 / sqrt(units)."""
    torch.manual_seed(0)
    weights = dict(make_cell(cell, 40, 20).named_parameters())["weight_ih_l0"]
    assert weights.shape == (GATES[cell] * 20, 40)
    for gate in weights.split(20):
        assert 0.29 < float(gate.detach().abs().max()) <= (6 / 60) ** 0.5


def test_fresh_embeddings_are_small() -> None:
    torch.manual_seed(0)
    weights = RecurrentEncoder(EncoderConfig("gru", 50, 40, 5, 1, False), 0.0, 0.0).embedding.weight
    assert weights.shape == (50, 40)
    assert 0.099 < float(weights.detach().max()) <= 0.1
    assert -0.1 <= float(weights.detach().min()) < -0.099
