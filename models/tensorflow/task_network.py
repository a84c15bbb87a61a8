"""A task's network: a trunk and its heads, put together from their names.

Shapes: B rows, T length, U target length, D d_model, V vocabulary, M answers, C choices.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from models.config import ModelConfig
from models.network import TRUNK, Part, Parts
from models.tensorflow import heads
from models.tensorflow.decoder import Decoder
from models.tensorflow.encoder import Encoder
from models.tensorflow.encoder_decoder import EncoderDecoder
from models.tensorflow.module import Module
from models.twins import check_network

Inputs = Mapping[str, tf.Tensor]

_KINDS = (
    Encoder, Decoder, EncoderDecoder, heads.MaskedLMHead, heads.LMHead, heads.Classifier, heads.TokenClassifier,
    heads.EmbeddingHead,
)  # fmt: skip


class TaskNetwork(Module):
    """Children `encoder` and `decoder`, as far as there are such, and heads by the names that `parts` gives them."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        """ValueError if TensorFlow's networks lack a part or a choice of the config."""
        super().__init__()
        self.config = config
        names: list[str] = []
        for name, part in parts.items():
            module = _build(part, part.config or config)
            if isinstance(module, EncoderDecoder):
                self.encoder, self.decoder = module.encoder, module.decoder
                names += TRUNK
            else:
                setattr(self, name, module)
                names.append(name)
            for own, other in part.shares.items():
                holder, _, attribute = f"{name}.{own}".rpartition(".")
                setattr(self._submodule(holder), attribute, self._submodule(other))
        self.parts = tuple(names)
        self.heads = tuple(name for name in names if name not in TRUNK)

    @property
    def token_vectors(self) -> tf.Tensor:
        """The vectors of all tokens [V, E], which many heads have as their output matrix."""
        return getattr(self, "encoder" if "encoder" in self.parts else "decoder").embedding.tokens.weight

    def hidden_states(self, inputs: Inputs) -> tf.Tensor:
        """[B, T, D], or of an encoder-decoder [B, U, D]. A decoder's input needs no mask of padding, which comes last: no earlier
        position attends to it."""
        ids, mask = inputs["pixels" if "pixels" in inputs else "input_ids"], inputs.get("attention_mask")
        if "encoder" not in self.parts:
            return self.decoder(ids, documents=inputs.get("documents"))
        memory = self.encoder(ids, mask, *(inputs.get(name) for name in ("token_types", "causal", "documents")))
        if "decoder" not in self.parts:
            return memory
        return self.decoder(inputs["target_ids"], memory=memory, memory_mask=mask)

    def attention_maps(self, inputs: Inputs) -> dict[str, list[tf.Tensor]]:
        """The attention weights of each layer, [B, H, T, S], of `encoder`, `decoder` and `memory`, as far as there are such. As
        PyTorch's, they are of the first kind of token."""
        ids, mask = inputs["pixels" if "pixels" in inputs else "input_ids"], inputs.get("attention_mask")
        if "encoder" not in self.parts:
            return {"decoder": [own for own, _ in self.decoder.attention_maps(ids)]}
        found: dict[str, list[tf.Tensor]] = {"encoder": self.encoder.attention_maps(ids, mask)}
        if "decoder" in self.parts and "target_ids" in inputs:
            memory = self.encoder(ids, mask)
            both = self.decoder.attention_maps(inputs["target_ids"], memory=memory, memory_mask=mask)
            found |= {"decoder": [own for own, _ in both], "memory": [cross for _, cross in both]}
        return found

    def logits(self, inputs: Inputs, places: tf.Tensor, head: str = "") -> tf.Tensor:
        """[M, C]: a head's at places of the flattened [B * T]; of a classifier of rows, of these rows. Without a name of the first."""
        hidden, module = self.hidden_states(inputs), getattr(self, head or self.heads[0])
        if isinstance(module, heads.Classifier):
            return tf.gather(module(hidden, inputs.get("attention_mask")), places)
        vectors = tf.gather(tf.reshape(hidden, [-1, hidden.shape[-1]]), places)
        if isinstance(module, heads.MaskedLMHead | heads.LMHead):
            return module(vectors, self.token_vectors)
        return module(vectors)

    def vectors(self, inputs: Inputs) -> tf.Tensor:
        """[B, E]: one vector a row, by an EmbeddingHead."""
        return self.head(self.hidden_states(inputs), inputs.get("attention_mask"))

    def _submodule(self, path: str) -> Module:
        module: Module = self
        for name in path.split("."):
            module = module[int(name)] if name.isdigit() else getattr(module, name)
        return module


def _build(part: Part, config: ModelConfig) -> Module:
    """ValueError, in one line, for what only PyTorch's networks have."""
    check_network("tensorflow", config)
    kinds = {kind.__name__: kind for kind in _KINDS}
    if part.kind not in kinds:
        raise ValueError(f"framework=tensorflow has no {part.kind}: set framework=torch, which has it")
    made: Module = kinds[part.kind](config, **part.options)
    return made
