"""The calls of `models/network.py`, answered by PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.config import ModelConfig
from models.devices import CPU, Compute
from models.network import MEMORY, TRUNK, Network, Parts, Weights
from models.question import Arrays, Question
from models.torch.compilation import compile_layers, eager
from models.torch.devices import autocast, numbers_of, prepare_device, tensor_of, tensors_of
from models.torch.initialization import initialize
from models.torch.task_network import TaskNetwork


class TorchNetwork:
    """A TaskNetwork with numpy inputs and outputs. A backend trains its `module`."""

    def __init__(self, parts: Parts, config: ModelConfig, compute: Compute = CPU) -> None:
        """Weights are PyTorch's own until `initialize` or `load_weights`. ValueError for parts that the family lacks."""
        prepare_device(compute.device)
        self.module, self.config, self.compute = TaskNetwork(parts, config).to(compute.device), config, compute
        if compute.compiled:
            compile_layers(self.module)

    def initialize(self, seed: int) -> None:
        """Draw all weights."""
        initialize(self.module, self.config, seed)

    @property
    def parts(self) -> list[str]:
        return [name for name, _ in self.module.named_children()]

    def autocast(self) -> AbstractContextManager[Any]:
        """Within, the network computes in its precision."""
        return autocast(self.module.device, self.compute.precision)

    def eager(self) -> AbstractContextManager[Any]:
        """Within, nothing is compiled: for shapes that change with each call."""
        return eager() if self.compute.compiled else nullcontext()

    def logits(self, question: Question, head: str = "") -> NDArray[np.float32]:
        return numbers_of(self._logits(question, head))

    def nats(self, question: Question) -> NDArray[np.float32]:
        labels = tensor_of(question.labels, self.module.device)
        return numbers_of(F.cross_entropy(self._logits(question), labels, reduction="none"))

    @torch.inference_mode()
    def vectors(self, inputs: Arrays) -> NDArray[np.float32]:
        with self.autocast():
            return numbers_of(self.module.eval().vectors(tensors_of(inputs, self.module.device)))

    def attends(self, part: str) -> bool:
        name = "decoder" if part == MEMORY else part
        needed = TRUNK if part == MEMORY else (name,)
        return all(one in self.parts for one in needed) and hasattr(self.module.get_submodule(name), "attention_maps")

    @torch.inference_mode()
    def attention(self, inputs: Arrays, part: str) -> list[NDArray[np.float32]]:
        with self.eager():
            return [numbers_of(one) for one in self._maps(tensors_of(inputs, self.module.device), part)]

    def _maps(self, tensors: Mapping[str, Tensor], part: str) -> list[Tensor]:
        """Attention in float32, whatever the precision: it is looked at, and its rows sum to 1."""
        module = self.module.eval()
        encoder: Any = getattr(module, "encoder", None)
        if part == "encoder":
            return list(encoder.attention_maps(tensors["input_ids"], tensors.get("attention_mask")))
        decoder: Any = module.get_submodule("decoder")
        if encoder is None:
            return [own for own, _ in decoder.attention_maps(tensors["input_ids"])]
        memory = encoder(tensors["input_ids"], tensors.get("attention_mask"))
        both = decoder.attention_maps(tensors["target_ids"], memory=memory, memory_mask=tensors.get("attention_mask"))
        return [one for own, cross in both if (one := cross if part == MEMORY else own) is not None]

    def weights(self) -> Weights:
        return {name: p.detach().cpu().numpy().copy() for name, p in self.module.named_parameters()}

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        for name, parameter in self.module.named_parameters():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))

    @torch.inference_mode()
    def _logits(self, question: Question, head: str = "") -> Tensor:
        device = self.module.device
        inputs, places = tensors_of(question.inputs, device), tensor_of(question.places, device)
        with self.autocast():
            return self.module.eval().logits(inputs, places, head)


def torch_network(network: Network) -> TorchNetwork:
    """A network that PyTorch computes, as such. ValueError for one that another framework computes."""
    if not isinstance(network, TorchNetwork):
        raise ValueError(f"framework={network.compute.framework} answers with logits alone: set framework=torch")
    return network


def module_of(network: Network) -> TaskNetwork:
    """The module of a network that PyTorch computes."""
    return torch_network(network).module
