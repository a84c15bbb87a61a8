"""The Transformer decoder: each position sees itself and earlier ones and, in an encoder-decoder, all of the memory.

Vaswani et al. 2017, sections 3.1 and 3.2.3; alone, Radford et al. 2018 and 2019 (GPT, GPT-2).

    pre   h = x + Attention(Norm(x));  h = h + Cross(Norm(h), memory);  y = h + FFN(Norm(h));  a last Norm on top
    post  h = Norm(x + Attention(x));  h = Norm(h + Cross(h, memory));  y = Norm(h + FFN(h))

Shapes: B batch, T target length, S source length, L columns of the cache, D d_model, H heads.
Mask polarity: True = may attend.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.attention import CrossAttention, MultiHeadAttention
from models.torch.cache import Cache, LayerCache
from models.torch.devices import product_type
from models.torch.embedding import Embedding, places
from models.torch.encoder import drop
from models.torch.layer_masks import LayerMask, layer_masks
from models.torch.masks import document_positions, same_document
from models.torch.position_wise import FeedForward, norm
from models.torch.positions import RelativePositions

KeyValue = tuple[Tensor, Tensor]


class DecoderLayer(nn.Module):
    """Self-attention, attention to a memory if there is one, feed-forward: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: ModelConfig, *, cross: bool) -> None:
        super().__init__()
        self.pre, self.dropout, self.layer_dropout = config.norm == "pre", config.dropout, config.layer_dropout
        self.attention_norm = norm(config)
        self.attention = MultiHeadAttention(config)
        if cross:
            self.cross_norm = norm(config)
            self.cross = CrossAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        layer_mask: LayerMask,
        key_value: KeyValue | None,
        memory_mask: Tensor | None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """`layer_mask`: mask (None: all that came before) and rotary angles; `key_value`: keys and values of the memory."""
        mask, rotary = layer_mask
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), mask, rotary=rotary, causal=True, cache=cache))
            if key_value is not None:
                x = x + self._drop(self.cross.attend(self.cross_norm(x), key_value, memory_mask))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, mask, rotary=rotary, causal=True, cache=cache)))
        if key_value is not None:
            x = self.cross_norm(x + self._drop(self.cross.attend(x, key_value, memory_mask)))
        out: Tensor = self.feed_forward_norm(x + self._drop(self.feed_forward(x)))
        return out

    def maps(
        self, x: Tensor, layer_mask: LayerMask, key_value: KeyValue | None, memory_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Attention probabilities of the heads: [B, H, T, T] over the target, [B, H, T, S] over the memory."""
        mask, rotary = layer_mask
        queries = self.attention_norm(x) if self.pre else x
        own = self.attention.weights(queries, mask, rotary=rotary)
        if key_value is None:
            return own, None
        x = x + self.attention(queries, mask, rotary=rotary, causal=True)
        queries = self.cross_norm(x) if self.pre else self.attention_norm(x)
        return own, self.cross.attend_weights(queries, key_value, memory_mask)

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, self.layer_dropout) if self.training else x


class Decoder(nn.Module):
    """Token ids to vectors, each of which says what may come next. With `cross`, it looks at an encoder's memory."""

    def __init__(self, config: ModelConfig, *, cross: bool = False) -> None:
        super().__init__()
        self.config, self.cross = config, cross
        self.num_layers = config.decoder_layers if cross else config.num_layers
        if config.bigram_buckets:
            raise ValueError(
                "bigram_buckets is for encoders alone: a decoder sees one token at a time; set bigram_buckets=0"
            )
        self.embedding = Embedding(config)
        made = range(1 if config.share_layers else self.num_layers)
        self.layers = nn.ModuleList(DecoderLayer(config, cross=cross) for _ in made)
        if config.positions == "relative":
            self.relative = RelativePositions(config, bidirectional=False)
        if config.norm == "pre":
            self.final_norm = norm(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """[B, T] (and a memory [B, S, D]) -> [B, T, D]. Rows of several texts have `documents` [B, T], a number for each of them.

        With a cache, `input_ids` are the tokens that follow what it holds, `attention_mask` [B, T] says which of them are
        no padding (at the end of a row), and the memory is the cache's.
        """
        if cache is not None:
            return self._forward_cached(input_ids, attention_mask, cache)
        x, visible, key_value = self._embed(input_ids, attention_mask, memory, documents)
        for number in range(self.num_layers):
            x = self._layer(number)(x, visible[number], key_value[number], memory_mask)
        return self._normalize(x)

    def cache(self, rows: int, columns: int, memory: Tensor | None = None, memory_mask: Tensor | None = None) -> Cache:
        """An empty cache for `rows` rows of at most `columns` tokens; the memory's keys and values are computed here, once."""
        weight, config = self.embedding.tokens.weight, self.config
        sizes = (self.num_layers, rows, columns, config.kv_heads, config.head_width)
        made = Cache.empty(*sizes, weight.device, product_type(weight))
        if memory is not None:
            made.memory = [self._layer(number).cross.keys_values(memory) for number in range(self.num_layers)]
            made.memory_mask = memory_mask
        return made

    @torch.no_grad()
    def attention_maps(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Attention weights of each layer: over the target [B, H, T, T] and over the memory [B, H, T, S]."""
        x, visible, key_value = self._embed(input_ids, attention_mask, memory, explicit=True)
        maps = []
        for number in range(self.num_layers):
            layer = self._layer(number)
            maps.append(layer.maps(x, visible[number], key_value[number], memory_mask))
            x = layer(x, visible[number], key_value[number], memory_mask)
        return maps

    def _embed(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        memory: Tensor | None,
        documents: Tensor | None = None,
        *,
        explicit: bool = False,
    ) -> tuple[Tensor, list[LayerMask], list[KeyValue | None]]:
        positions = places(input_ids.shape[1], input_ids.device)
        if documents is not None:
            positions, attention_mask = document_positions(documents), same_document(documents)
        visible = self._layer_masks(positions, positions, attention_mask, explicit=explicit)
        key_value = [
            None if memory is None else self._layer(number).cross.keys_values(memory)
            for number in range(self.num_layers)
        ]
        return self.embedding(input_ids, positions), visible, key_value

    def _forward_cached(self, input_ids: Tensor, attention_mask: Tensor | None, cache: Cache) -> Tensor:
        positions = cache.begin(input_ids.shape[1])  # [B, T]
        x = self.embedding(input_ids, positions)
        # A key's position is its column, and none beyond a query's own is visible: no padding mask is needed.
        visible = self._layer_masks(positions, places(cache.layers[0].used, input_ids.device), None, explicit=True)
        for number in range(self.num_layers):
            key_value = cache.memory[number] if cache.memory else None
            x = self._layer(number)(x, visible[number], key_value, cache.memory_mask, cache.layers[number])
        new = input_ids.shape[1] if attention_mask is None else attention_mask.sum(1)
        cache.lengths = cache.lengths + new
        return self._normalize(x)

    def _normalize(self, x: Tensor) -> Tensor:
        return self.final_norm(x) if self.config.norm == "pre" else x

    def _layer(self, number: int) -> DecoderLayer:
        layer = self.layers[0 if self.config.share_layers else number]
        assert isinstance(layer, DecoderLayer)
        return layer

    def _layer_masks(
        self, queries: Tensor, keys: Tensor, attention_mask: Tensor | None, *, explicit: bool
    ) -> list[LayerMask]:
        relative = getattr(self, "relative", None)
        return layer_masks(
            self.config, self.num_layers, queries, keys, attention_mask, relative, causal=True, explicit=explicit
        )
