"""Lookups whose gradients are rows, beside the gradient of an output matrix that is the same table."""

import pytest
import torch
import torch.nn.functional as F

from models.torch.embedding import TokenTable, collect_rows
from training.torch.gradients import add_rows

IDS = torch.tensor([[3, 5, 3, 0], [7, 3, 0, 0]])  # 0: padding


def loss_of(table: TokenTable, *, tied: bool) -> torch.Tensor:
    hidden = table(IDS).tanh().sum(1)
    return (F.linear(hidden, table.weight) if tied else hidden).square().sum()


@pytest.fixture
def table():
    torch.manual_seed(1)
    return TokenTable(9, 4, padding_idx=0)


@pytest.mark.parametrize("tied", [True, False])
def test_collected_rows_complete_the_gradient(table, tied):
    (expected,) = torch.autograd.grad(loss_of(table, tied=tied), [table.weight])
    table.sparse = True
    with collect_rows() as rows:
        (gradient,) = torch.autograd.grad(loss_of(table, tied=tied), [table.weight], allow_unused=True)
    ((of, ids, vectors),) = rows
    assert of is table.weight
    assert 0 not in ids, "padding learns nothing"
    found = add_rows(gradient, ids, vectors, table.weight)
    assert found.is_sparse != tied
    torch.testing.assert_close(found.to_dense(), expected)


def test_lookup_outside_gives_the_table_its_gradient(table):
    table.sparse = True
    (gradient,) = torch.autograd.grad(loss_of(table, tied=False), [table.weight])
    assert gradient.is_sparse


def test_frozen_or_small_table_is_looked_up_as_ever(table):
    with collect_rows() as rows:
        loss_of(table, tied=False).backward()
        table.sparse = True
        table.weight.requires_grad_(False)
        table(IDS)
    assert rows == []
    assert table.weight.grad is not None
