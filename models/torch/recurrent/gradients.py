"""The part of a gradient that is left after so many tokens: the norm of d loss_T / d state_t against the distance T - t.

Bengio et al. 1994, "Learning long-term dependencies with gradient descent is difficult"; Pascanu et al. 2013 (arXiv
1211.5063), section 2.1: of h_t = tanh(U h_{t-1} + W x_t + b), the gradient is a product of T - t matrices,

    d h_T / d h_t = product of diag(1 - h_k^2) U,   |product| <= s^(T - t),   s the largest singular value of U

so that it must vanish where s < 1, and can explode only where s > 1. A gate puts itself in this product's place: along an
LSTM's c it is f_T f_{T-1} ... f_{t+1}, along a GRU's h mostly z_T ... z_{t+1}, and a bias holds them near 1.

Shapes: B rows, T length, I inputs, W width.
"""

from __future__ import annotations

import torch

from models.torch.recurrent.cells import Cells, State

_ROWS = 16


def change(cells: Cells, *, gain: float = 1.0, gate_bias: float | None = None) -> None:
    """Multiply the recurrent matrices; set the bias of the gate that keeps the state: an LSTM's f, a GRU's z."""
    kernel = cells.kernel
    with torch.no_grad():
        for name, parameter in kernel.named_parameters():
            if name.startswith("weight_hh"):
                parameter.mul_(gain)
            elif name.startswith("bias_ih") and gate_bias is not None:
                parameter[kernel.hidden_size : 2 * kernel.hidden_size] = gate_bias


def norms(cells: Cells, distance: int, *, inputs: float, seed: int) -> list[float]:
    """The gradient's norm at the distances 0, 1, ..., `distance`, over that at 0: a mean of rows of random input.

    Inputs are drawn from N(0, `inputs`), the loss is a random sum over the last h. State means h, of an LSTM h and c. It is
    computed as exactly as the cells are: in float64, two machines print the same, though errors explode as gradients do.
    """
    generator = torch.Generator().manual_seed(seed)
    kernel, length, dtype = cells.kernel, distance + 1, next(cells.parameters()).dtype
    x = inputs * torch.randn(_ROWS, length, kernel.input_size, generator=generator, dtype=dtype)  # [B, T, I]
    weights = torch.randn(_ROWS, kernel.hidden_size, generator=generator, dtype=dtype)  # [B, W]
    state, states = tuple(part.to(dtype) for part in cells.nothing(_ROWS)), list[State]()
    for place in range(length):
        state = tuple(part.requires_grad_() for part in cells(x[:, place : place + 1], None, state)[1])
        states.append(state)
    loss = (state[0][-1] * weights).sum()
    parts = [part for one in states for part in one]
    gradients = torch.autograd.grad(loss, parts, allow_unused=True, materialize_grads=True)
    of_each = len(state)
    found = [
        torch.cat(gradients[of_each * place : of_each * (place + 1)], -1).norm(dim=-1).mean().item()
        for place in reversed(range(length))
    ]
    return [norm / found[0] for norm in found]
