"""A task's network: a trunk and its heads, put together from their names.

Shapes: B rows, T length, U target length, D d_model, V vocabulary, M answers, C choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.network import TRUNK, Part, Parts
from models.torch import heads
from models.torch.devices import device_of, widen
from models.torch.networks import FAMILY, build

Inputs = Mapping[str, Tensor]


class TaskNetwork(nn.Module):
    """Children `encoder` and `decoder`, as far as there are such, and heads by the names that `parts` gives them."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        """ValueError if a family has no such part."""
        super().__init__()
        self.config = config
        for name, part in parts.items():
            module = _build(part, part.config or config)
            if part.kind == "EncoderDecoder":
                self.encoder, self.decoder = module.get_submodule("encoder"), module.get_submodule("decoder")
            else:
                self.add_module(name, module)
            for own, other in part.shares.items():
                holder, _, attribute = own.rpartition(".")
                setattr(self.get_submodule(f"{name}.{holder}"), attribute, self.get_submodule(other))
        self.heads = [name for name, _ in self.named_children() if name not in TRUNK]

    @property
    def device(self) -> torch.device:
        """The device of all its parameters, which a question's tensors belong on."""
        return device_of(self)

    @property
    def token_vectors(self) -> Tensor:
        """The vectors of all tokens [V, E], which many heads have as their output matrix."""
        first = "encoder" if hasattr(self, "encoder") else "decoder"
        return cast(Tensor, self.get_parameter(f"{first}.embedding.tokens.weight"))

    def hidden_states(self, inputs: Inputs) -> Tensor:
        """[B, T, D], or of an encoder-decoder [B, U, D]. A decoder's input needs no mask of padding, which comes last: no earlier
        position attends to it."""
        ids, mask = inputs["pixels" if "pixels" in inputs else "input_ids"], inputs.get("attention_mask")
        encoder, decoder = getattr(self, "encoder", None), getattr(self, "decoder", None)
        if encoder is None and decoder is not None:
            return cast(Tensor, decoder(ids, **_present(inputs, "documents")))
        assert encoder is not None
        more = _present(inputs, "token_types", "causal", "documents")
        memory: Tensor = encoder(ids, mask, **more)
        if decoder is None:
            return memory
        return cast(Tensor, decoder(inputs["target_ids"], None, memory=memory, memory_mask=mask))

    def logits(self, inputs: Inputs, places: Tensor, head: str = "") -> Tensor:
        """[M, C]; without a name of the first head."""
        return self.answer(head or self.heads[0], self.hidden_states(inputs), inputs.get("attention_mask"), places)

    def answer(self, head: str, hidden: Tensor, mask: Tensor | None, places: Tensor) -> Tensor:
        """A head's logits [M, C] at places of the flattened [B * T]; of a classifier of rows, of these rows. In float32, whatever
        the network's precision."""
        module = self.get_submodule(head)
        if isinstance(module, heads.Classifier):
            return widen(cast(Tensor, module(hidden, mask)))[places]
        vectors = hidden.flatten(0, 1)[places]
        if isinstance(module, heads.MaskedLMHead | heads.LMHead):
            return widen(cast(Tensor, module(vectors, self.token_vectors)))
        logits = widen(cast(Tensor, module(vectors)))
        return logits if logits.ndim > 1 else logits.unsqueeze(-1)  # of a yes or no

    def vectors(self, inputs: Inputs) -> Tensor:
        """[B, E]: one vector a row, by an EmbeddingHead."""
        mask = inputs.get("attention_mask")
        return cast(Tensor, self.get_submodule("head")(self.hidden_states(inputs), mask))

    def cache(self, source: Tensor, source_mask: Tensor | None, columns: int) -> Any:
        """Read the sources, once; a cache for targets of at most `columns` tokens."""
        memory = self.get_submodule("encoder")(source, source_mask)
        decoder: Any = self.get_submodule("decoder")
        return decoder.cache(len(source), columns, memory, source_mask)


def _present(inputs: Inputs, *names: str) -> Inputs:
    """The inputs of these names, as far as there are such: not every family takes them."""
    return {name: inputs[name] for name in names if name in inputs}


def _build(part: Part, config: ModelConfig) -> nn.Module:
    if part.kind in FAMILY:
        return build(part.kind, config)
    made: nn.Module = getattr(heads, part.kind)(config, **part.options)
    return made
