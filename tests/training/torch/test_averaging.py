"""The average of weights, worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from training.torch.averaging import Averaging


def test_average_follows_its_formula():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    averaging = Averaging({"w": weight}, 0.2)
    expected = np.array([1.0, 2.0])
    for number, value in enumerate([(3.0, 0.0), (5.0, 1.0), (-1.0, 4.0), (2.0, 2.0)]):
        with torch.no_grad():
            weight.copy_(torch.tensor(value))
        averaging.add(number)
        kept = min(0.2, (1 + number) / (10 + number))  # 0.1, 0.18, 0.2, 0.2
        expected = kept * expected + (1 - kept) * np.array(value)
    assert averaging.state()["w/average"] == pytest.approx(expected)


def test_weights_return_after_use_of_the_average():
    weight = nn.Parameter(torch.tensor([1 / 3, 2.0]))
    averaging = Averaging({"w": weight}, 0.9)
    with torch.no_grad():
        weight.mul_(1.1)
    before = weight.detach().numpy().copy()

    def fail():
        with averaging.apply():
            assert weight.tolist() == pytest.approx([1 / 3, 2.0])
            raise RuntimeError("in use")

    with pytest.raises(RuntimeError, match="in use"):
        fail()
    assert weight.detach().numpy().tobytes() == before.tobytes()


def test_loading_takes_averages_and_leaves_the_rest():
    averaging = Averaging({"w": nn.Parameter(torch.zeros(2))}, 0.9)
    state = {"w/average": np.array([3.0, 4.0], np.float32), "w/exp_avg": np.ones(2, np.float32)}
    assert list(averaging.load(state)) == ["w/exp_avg"]
    assert averaging.state()["w/average"].tolist() == [3.0, 4.0]
