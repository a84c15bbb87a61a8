"""The cells against their equations, written out; what padding and a carried state must not change; how they start."""

import pytest
import torch

from models.config import ModelConfig
from models.torch import initialize
from models.torch.recurrent.cells import Cells
from models.torch.recurrent.encoder import Encoder

CELLS = ["rnn", "lstm", "gru"]


def cells(cell, *, layers=1, width=6, **changes):
    config = ModelConfig(network="recurrent", cell=cell, d_model=8, d_ff=8, vocab_size=10, **changes)
    made = Cells(config, inputs=5, width=width, layers=layers)
    initialize(made, config, 0)
    with torch.no_grad():
        for parameter in made.parameters():  # biases that do something
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made.eval()


def elman(x, state, w, u, b, c):
    """Elman 1990, with tanh: h_t = tanh(W x_t + U h_{t-1} + b)."""
    return (torch.tanh(w @ x + b + u @ state[0] + c),)


def long_short_term_memory(x, state, w, u, b, c):
    """Hochreiter and Schmidhuber 1997, section 4, with the forget gate of Gers et al. 2000."""
    i, f, g, o = (w @ x + b + u @ state[0] + c).chunk(4)
    memory = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def gated_unit(x, state, w, u, b, c):
    """Cho et al. 2014, equations 5 to 8; the reset gate after the product."""
    (w_r, w_z, w_g), (u_r, u_z, u_g), (b_r, b_z, b_g), (c_r, c_z, c_g) = (part.chunk(3) for part in (w, u, b, c))
    h = state[0]
    r, z = (w_r @ x + u_r @ h + b_r + c_r).sigmoid(), (w_z @ x + u_z @ h + b_z + c_z).sigmoid()
    return (z * h + (1 - z) * torch.tanh(w_g @ x + b_g + r * (u_g @ h + c_g)),)


REFERENCE = {"rnn": elman, "lstm": long_short_term_memory, "gru": gated_unit}


def read(made, row, layer):
    """One layer over one row [T, I], by the reference: the h of each token."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [getattr(made.kernel, f"{name}_l{layer}") for name in names]
    state, said = (torch.zeros(6), torch.zeros(6)), []
    for x in row:
        state = REFERENCE[made.cell](x, state, *weights)
        said.append(state[0])
    return torch.stack(said)


@pytest.mark.parametrize("cell", CELLS)
def test_two_layers_match_cell_equations(cell):
    made, x = cells(cell, layers=2), torch.randn(3, 7, 5)
    for row, got in zip(x, made(x)[0], strict=True):
        torch.testing.assert_close(got, read(made, read(made, row, 0), 1))


@pytest.mark.parametrize("cell", CELLS)
def test_bidirectional_encoder_matches_cell_equations(cell):
    config = ModelConfig(network="recurrent", cell=cell, d_model=12, d_ff=8, vocab_size=10, num_layers=1, d_embedding=5)
    encoder, ids, lengths = Encoder(config), torch.randint(1, 10, (3, 7)), [4, 7, 1]
    out = encoder(ids, torch.arange(7)[None] < torch.tensor(lengths)[:, None])
    for row, got, length in zip(encoder.embedding(ids), out, lengths, strict=True):
        forward = read(encoder.layers[0].rightward, row[:length], 0)
        backward = read(encoder.layers[0].leftward, row[:length].flip(0), 0).flip(0)
        torch.testing.assert_close(got[:length], torch.cat([forward, backward], -1))


@pytest.mark.parametrize("cell", CELLS)
def test_carried_state_joins_two_parts_of_text(cell):
    made, x = cells(cell, layers=2), torch.randn(3, 7, 5)
    whole, end = made(x)
    first, state = made(x[:, :3])
    second, after = made(x[:, 3:], None, state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    for one, other in zip(after, end, strict=True):
        torch.testing.assert_close(one, other)
    zeros = made.nothing(3)
    torch.testing.assert_close(made(x, None, zeros)[0], whole)


@pytest.mark.parametrize("cell", CELLS)
def test_state_follows_last_token_and_empty_row_keeps_its_state(cell):
    made, x = cells(cell, layers=2), torch.randn(3, 7, 5)
    _, before = made(torch.randn(3, 2, 5))
    _, after = made(x, torch.arange(7)[None] < torch.tensor([0, 7, 4])[:, None], before)
    for part, old in zip(after, before, strict=True):
        torch.testing.assert_close(part[:, 0], old[:, 0])
    for row, length in ((1, 7), (2, 4)):
        _, alone = made(x[row : row + 1, :length], None, tuple(part[:, row : row + 1] for part in before))
        for part, expected in zip(after, alone, strict=True):
            torch.testing.assert_close(part[:, row], expected[:, 0])


@pytest.mark.parametrize("cell", CELLS)
def test_initial_matrices_are_orthogonal_and_lstm_forget_bias_is_one(cell):
    config = ModelConfig(network="recurrent", cell=cell, d_model=8, d_ff=8, vocab_size=10, initializer_std=0.2)
    made = Cells(config, inputs=40, width=32, layers=2)
    initialize(made, config, 0)
    for name, parameter in made.kernel.named_parameters():
        gates = parameter.chunk({"rnn": 1, "lstm": 4, "gru": 3}[cell])
        if name.startswith("weight_hh"):
            for gate in gates:
                torch.testing.assert_close(gate @ gate.T, torch.eye(32), atol=1e-5, rtol=0)
        elif name.startswith("weight_ih"):
            assert parameter.std().item() == pytest.approx(0.2, rel=0.1)
        else:
            forget = cell == "lstm" and name.startswith("bias_ih")
            assert [gate.unique().tolist() for gate in gates] == [
                [1.0 if forget and n == 1 else 0.0] for n in range(len(gates))
            ]


def test_xavier_applies_to_each_gate_separately():
    config = ModelConfig(network="recurrent", cell="gru", d_model=8, d_ff=8, vocab_size=10, initializer="xavier")
    made = Cells(config, inputs=40, width=32, layers=1)
    initialize(made, config, 0)
    bound = (6 / (40 + 32)) ** 0.5
    assert 0.95 * bound < made.kernel.weight_ih_l0.abs().max().item() <= bound


def test_dropout_never_applies_to_recurrent_state():
    made, x = cells("rnn", dropout=0.5), torch.ones(1, 30, 5)
    with torch.no_grad():
        made.kernel.weight_ih_l0.zero_()
        made.kernel.bias_ih_l0.zero_()
        made.kernel.bias_hh_l0.zero_()
        made.kernel.weight_hh_l0.copy_(torch.eye(6))
    state = (torch.full((1, 1, 6), 1e-3),)
    torch.testing.assert_close(made.train()(x, None, state)[0], torch.full((1, 30, 6), 1e-3), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_training_layer_by_layer_matches_the_kernel(monkeypatch, cell, padded):
    made, x = cells(cell, layers=3, dropout=0.5), torch.randn(3, 7, 5)
    mask = torch.arange(7)[None] < torch.tensor([4, 7, 1])[:, None] if padded else None
    _, begun = made(torch.randn(3, 2, 5))
    expected, after = made(x, mask, begun)  # in evaluation the kernel runs all layers
    monkeypatch.setattr("models.torch.recurrent.cells.dropout", lambda x, *_: x)
    out, ended = made.train()(x, mask, begun)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(ended, after)
    assert torch.equal(made(x, mask)[0], made(x, mask, made.nothing(3))[0])
