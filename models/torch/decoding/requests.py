"""Decoding asked for in numpy: continuations of a decoder alone, targets of an encoder and a decoder."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from models.decoding import Alphabet, Decoding, Hypothesis
from models.network import Network
from models.question import Arrays
from models.torch.decoding import search
from models.torch.decoding.decodable import Continuation, Decodable, Translation
from models.torch.decoding.stepwise import stepwise
from models.torch.devices import tensors_of
from models.torch.torch_network import TorchNetwork, torch_network


@torch.inference_mode()
def decode(
    network: Network, inputs: Arrays, options: Decoding, alphabet: Alphabet, begin_id: int
) -> list[list[Hypothesis]]:
    """The best sequences of each row: continuations of `input_ids`; or targets, which begin with `begin_id`."""
    ours = torch_network(network)
    with ours.autocast(), ours.eager():
        return search.decode(_begin(ours, inputs, options, begin_id), options, alphabet)


def stream(network: Network, inputs: Arrays, options: Decoding, alphabet: Alphabet, begin_id: int) -> Iterator[int]:
    """The tokens of one row's sequence, its end included, each as soon as it is known: greedy or sampled."""
    ours, steps = torch_network(network), None
    while True:
        # Entered for each token: between two, the caller may compute something else.
        with torch.inference_mode(), ours.autocast(), ours.eager():
            steps = steps or stepwise(_begin(ours, inputs, options, begin_id), options, alphabet)
            step = next(steps, None)
        if step is None:
            return
        yield step.tokens[0]


def _begin(network: TorchNetwork, inputs: Arrays, options: Decoding, begin_id: int) -> Decodable:
    module, tensors = network.module.eval(), tensors_of(inputs, network.module.device)
    ids, head = tensors["input_ids"], module.get_submodule("head")
    mask = tensors.get("attention_mask", torch.ones_like(ids, dtype=torch.bool))
    if "encoder" in network.parts:
        return Translation(module, head, ids, mask, options.max_new_tokens, begin_id)
    return Continuation(module.get_submodule("decoder"), head, ids, mask, options.max_new_tokens)
