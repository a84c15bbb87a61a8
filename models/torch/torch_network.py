"""The calls of `models/network.py`, answered by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.config import ModelConfig
from models.network import Network, Parts, Weights
from models.question import Arrays, Question
from models.torch.initialization import initialize
from models.torch.task_network import TRUNK, TaskNetwork, tensors_of

MEMORY = "memory"


class TorchNetwork:
    """A TaskNetwork with numpy inputs and outputs. A backend trains its `module`."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        """Weights are PyTorch's own until `initialize` or `load_weights`. ValueError for parts that the family lacks."""
        self.module, self.config = TaskNetwork(parts, config), config

    def initialize(self, seed: int) -> None:
        """Draw all weights."""
        initialize(self.module, self.config, seed)

    @property
    def parts(self) -> list[str]:
        return [name for name, _ in self.module.named_children()]

    def logits(self, question: Question, head: str = "") -> NDArray[np.float32]:
        return _numbers(self._logits(question, head))

    def nats(self, question: Question) -> NDArray[np.float32]:
        return _numbers(F.cross_entropy(self._logits(question), torch.from_numpy(question.labels), reduction="none"))

    @torch.inference_mode()
    def vectors(self, inputs: Arrays) -> NDArray[np.float32]:
        return _numbers(self.module.eval().vectors(tensors_of(inputs)))

    def attends(self, part: str) -> bool:
        name = "decoder" if part == MEMORY else part
        needed = TRUNK if part == MEMORY else (name,)
        return all(one in self.parts for one in needed) and hasattr(self.module.get_submodule(name), "attention_maps")

    @torch.inference_mode()
    def attention(self, inputs: Arrays, part: str) -> list[NDArray[np.float32]]:
        module, tensors = self.module.eval(), tensors_of(inputs)
        encoder: Any = getattr(module, "encoder", None)
        if part == "encoder":
            return [
                _numbers(own) for own in encoder.attention_maps(tensors["input_ids"], tensors.get("attention_mask"))
            ]
        decoder: Any = module.get_submodule("decoder")
        if encoder is None:
            return [_numbers(own) for own, _ in decoder.attention_maps(tensors["input_ids"])]
        memory = encoder(tensors["input_ids"], tensors.get("attention_mask"))
        both = decoder.attention_maps(tensors["target_ids"], memory=memory, memory_mask=tensors.get("attention_mask"))
        return [_numbers(one) for own, cross in both if (one := cross if part == MEMORY else own) is not None]

    def weights(self) -> Weights:
        return {name: p.detach().numpy().copy() for name, p in self.module.named_parameters()}

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))

    @torch.inference_mode()
    def _logits(self, question: Question, head: str = "") -> Tensor:
        return self.module.eval().logits(tensors_of(question.inputs), torch.from_numpy(question.places), head)


def module_of(network: Network) -> TaskNetwork:
    """The module of a network that PyTorch computes."""
    assert isinstance(network, TorchNetwork)
    return network.module


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = tensor.detach().float().numpy()
    return numbers
