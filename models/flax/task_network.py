"""A task's network: a trunk and its heads, put together from their names.

Shapes: B rows, T length, U target length, D d_model, V vocabulary, M answers, C choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax import heads
from models.flax.networks import build
from models.network import TRUNK, Parts

Inputs = Mapping[str, Array]


class TaskNetwork(nnx.Module):
    """Children `encoder` and `decoder`, as far as there are such, and heads by the names that `parts` gives them."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        """ValueError if Flax has no such part."""
        children: list[str] = []
        for name, part in parts.items():
            module: Any = build(part, part.config or config)
            made = {one: getattr(module, one) for one in TRUNK} if part.kind == "EncoderDecoder" else {name: module}
            for child, value in made.items():
                setattr(self, child, value)
            children += made
            for own, other in part.shares.items():
                holder, _, attribute = f"{name}.{own}".rpartition(".")
                setattr(submodule(self, holder), attribute, submodule(self, other))
        self.children = tuple(children)

    @property
    def heads(self) -> list[str]:
        """Names of its heads."""
        return [name for name in self.children if name not in TRUNK]

    @property
    def token_vectors(self) -> Array:
        """The vectors of all tokens [V, E], which many heads have as their output matrix."""
        trunk = getattr(self, "encoder" if "encoder" in self.children else "decoder")
        return trunk.embedding.tokens.weight[...]

    def hidden_states(self, inputs: Inputs, rngs: nnx.Rngs | None = None) -> Array:
        """[B, T, D], or of an encoder-decoder [B, U, D]. A decoder's input needs no mask of padding, which comes last: no earlier
        position attends to it."""
        ids, mask = inputs["pixels" if "pixels" in inputs else "input_ids"], inputs.get("attention_mask")
        encoder, decoder = getattr(self, "encoder", None), getattr(self, "decoder", None)
        if encoder is None and decoder is not None:
            return decoder(ids, documents=inputs.get("documents"), rngs=rngs)
        assert encoder is not None
        more = {name: inputs.get(name) for name in ("token_types", "causal", "documents")}
        memory = encoder(ids, mask, **more, rngs=rngs)
        return memory if decoder is None else decoder(inputs["target_ids"], memory=memory, memory_mask=mask, rngs=rngs)

    def logits(self, inputs: Inputs, places: Array, head: str = "", rngs: nnx.Rngs | None = None) -> Array:
        """[M, C]; without a name of the first head."""
        hidden = self.hidden_states(inputs, rngs)
        return self.answer(head or self.heads[0], hidden, inputs.get("attention_mask"), places, rngs)

    def answer(
        self, head: str, hidden: Array, mask: Array | None, places: Array, rngs: nnx.Rngs | None = None
    ) -> Array:
        """A head's logits [M, C] at places of the flattened [B * T]; of a classifier of rows, of these rows."""
        module = getattr(self, head)
        if isinstance(module, heads.Classifier):
            return module(hidden, mask, rngs)[places]
        vectors = hidden.reshape(-1, hidden.shape[-1])[places]
        if isinstance(module, heads.MaskedLMHead | heads.LMHead):
            return module(vectors, self.token_vectors)
        assert isinstance(module, heads.TokenClassifier)
        return module(vectors, rngs)

    def vectors(self, inputs: Inputs, rngs: nnx.Rngs | None = None) -> Array:
        """[B, E]: one vector a row, by an EmbeddingHead."""
        return self.head(self.hidden_states(inputs, rngs), inputs.get("attention_mask"))


def submodule(module: Any, path: str) -> Any:
    """The child at a path of names and places, `encoder.layers.0`."""
    steps = path.split(".") if path else []
    return reduce(lambda holder, step: holder[int(step)] if step.isdigit() else getattr(holder, step), steps, module)


def named_parameters(network: TaskNetwork) -> dict[str, nnx.Param[Any]]:
    """All parameters by name, in the order in which PyTorch lists them; one that two children share by its first name alone."""
    named: dict[str, nnx.Param[Any]] = {}
    known: set[int] = set()
    for child in network.children:
        for name, parameter in _parameters(getattr(network, child), child):
            if id(parameter) not in known:
                known.add(id(parameter))
                named[name] = parameter
    return named


def _parameters(node: Any, name: str) -> Iterator[tuple[str, nnx.Param[Any]]]:
    if isinstance(node, nnx.Param):
        yield name, node
    elif isinstance(node, nnx.List):
        for place, child in enumerate(node):
            yield from _parameters(child, f"{name}.{place}")
    elif isinstance(node, nnx.Module):
        for attribute, child in vars(node).items():
            yield from _parameters(child, f"{name}.{attribute}")
