"""The shape of a network, free of any framework. Defaults that frameworks disagree on are named here, once.

`Architecture` is what a user chooses: each field one choice, with the paper it is from. A preset (`models/presets/`) is a
named set of these choices, a paper's own; any field you set overrides it. `ModelConfig` adds what the data fixes.

The defaults are those of the `docs` pipeline: a size that two cores train in minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from models import presets

HEADLESS = ("recurrent", "convolutional", "residual")  # families whose networks have no attention heads
GATED = ("swiglu", "geglu", "geglu_tanh")
LATER = {"bigram_buckets": 0}  # fields that a written config leaves out where they change nothing: older ones have none


def choice(default: Any, *, description: str, **rules: Any) -> Any:
    """A field that a preset can fill: left empty, it has the preset's value, or else this default."""
    return Field(default, description=description, json_schema_extra={"preset": True}, **rules)


class Architecture(BaseModel):
    """Fields of a network that a user may choose. The steps' Configs inherit them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    preset: str = Field("", pattern=r"^[a-z0-9-]*$", description="A paper's choices: a file of models/presets/")
    network: str = Field(
        "transformer",
        pattern=r"^[a-z_]+$",
        description="Family of networks: a file of models/torch/",
        json_schema_extra={"preset": True, "module": "models.torch.{}"},
    )

    # Size
    d_model: int = choice(128, ge=8, le=8192, description="Width of the residual stream")
    d_ff: int = choice(512, ge=8, le=65536, description="Width inside the feed-forward layers")
    num_layers: int = choice(4, ge=1, le=128, description="Layers, of the encoder or of the decoder")
    num_decoder_layers: int = choice(0, ge=0, le=128, description="Decoder layers of an encoder-decoder; 0: as many")
    max_length: int = choice(128, ge=4, le=131_072, description="Longest sequence in tokens, [CLS] and [SEP] included")

    # Attention
    num_heads: int = choice(4, ge=1, le=128, description="Attention heads")
    num_kv_heads: int = choice(0, ge=0, le=128, description="Heads of keys and values; 0: as many (arXiv 2305.13245)")
    d_head: int = choice(0, ge=0, le=1024, description="Width of one head; 0: d_model / num_heads")
    window: int = choice(
        0, ge=0, description="Tokens that a position looks at, itself included; 0: all (arXiv 2004.05150)"
    )
    global_every: int = choice(
        0, ge=0, description="With a window: each n-th layer looks at all (arXiv 2412.13663, 2.1.2)"
    )
    scale_attention: bool = choice(True, description="Scores over the square root of the head's width; T5 has none")

    # Positions
    positions: Literal["learned", "sinusoidal", "rope", "alibi", "relative", "none"] = choice(
        "learned", description="learned (BERT), sinusoidal (2017), rope (2104.09864), alibi (2108.12409), relative (T5)"
    )
    rope_base: float = choice(10_000.0, gt=1, description="RoPE: base of the wavelengths")
    window_rope_base: float = choice(0.0, ge=0, description="RoPE: base in layers with a window; 0: rope_base")
    relative_buckets: int = choice(32, ge=4, description="Relative positions: buckets (arXiv 1910.10683, 2.1)")
    relative_distance: int = choice(128, ge=4, description="Relative positions: distance at which buckets end")

    # Norms, feed-forward, embedding
    norm: Literal["pre", "post"] = choice("pre", description="Norm before each sublayer, or after it as in BERT")
    norm_kind: Literal["layer", "rms"] = choice("layer", description="LayerNorm (1607.06450) or RMSNorm (1910.07467)")
    layer_norm_epsilon: float = choice(1e-5, gt=0, description="PyTorch's default; Flax has 1e-6, Keras 1e-3")
    embedding_norm: bool | None = choice(None, description="A norm on the embedding; empty: with norm=post, as in BERT")
    activation: Literal["relu", "gelu_exact", "gelu_tanh", "silu", "swiglu", "geglu", "geglu_tanh"] = choice(
        "gelu_exact", description="Of the feed-forward layer; the last three are gated (arXiv 2002.05202)"
    )
    bias: bool = choice(True, description="Biases in matrices and LayerNorms; Llama, T5 and ModernBERT have none")
    d_embedding: int = choice(0, ge=0, description="ALBERT's smaller embedding, projected to d_model; 0: d_model")
    scale_embeddings: bool = choice(False, description="Embedding times sqrt(d_model) (Vaswani et al. 2017, 3.4)")
    tie_embeddings: bool = choice(True, description="The output matrix is the embedding (arXiv 1608.05859)")
    scale_logits: bool = choice(False, description="T5: hidden over sqrt(d_model) before a tied output matrix")
    output_bias: bool = choice(False, description="A bias on the logits of the next token, as Marian has")
    share_layers: bool = choice(False, description="ALBERT: all layers are one (arXiv 1909.11942, 3.1)")
    token_types: int = choice(0, ge=0, le=16, description="Kinds of segments that have a vector each; BERT has 2")

    bigram_buckets: int = choice(
        0,
        ge=0,
        le=10_000_000,
        description="Encoder: vectors of hashed pairs of neighbours, added; 0: none (arXiv 1607.01759, 2.2)",
    )

    # Start and dropout
    initializer: Literal["normal", "xavier", "gpt2"] = choice(
        "normal", description="normal (BERT); xavier (Glorot 2010); gpt2: residual outputs smaller by sqrt(2 layers)"
    )
    initializer_std: float = choice(0.05, gt=0, description="Standard deviation of weights at the start")
    dropout: float = choice(0.0, ge=0, lt=1, description="Share of activations dropped in training")
    attention_dropout: float | None = choice(None, ge=0, lt=1, description="Of attention weights; empty: as dropout")
    layer_dropout: float = choice(0.0, ge=0, lt=1, description="Share of rows that skip a layer (arXiv 1603.09382)")
    unpadding: bool = choice(
        False, description="Encoder: padding has no part in what is done for each token (arXiv 2208.08124)"
    )

    # Other inputs and outputs
    pooling: Literal["mean", "cls", "max", "last", "sequence"] = choice(
        "mean", description="How a classifier pools a sequence; sequence: CCT's learned weights (2104.05704)"
    )
    patch_size: int = choice(
        0, ge=0, le=256, description="Images: side of a patch in pixels (arXiv 2010.11929); 0: text"
    )
    convolutional_stem: bool = choice(False, description="Images: CCT's convolutions in place of patches (2104.05704)")
    stem_layers: int = choice(1, ge=1, le=4, description="Images: convolutions of that stem")
    stem_kernel: int = choice(3, ge=1, le=15, description="Images: side of their kernels in pixels")

    # Before the transformer
    cell: Literal["rnn", "lstm", "gru"] = choice("lstm", description="network=recurrent: the cell")
    alignment: Literal["additive", "multiplicative"] = choice(
        "additive", description="network=recurrent, seq2seq: Bahdanau's attention (1409.0473) or Luong's (1508.04025)"
    )
    kernel_sizes: str = choice(
        "3,4,5", pattern=r"^\d+(,\d+)*$", description="network=convolutional: widths of the kernels"
    )

    @model_validator(mode="before")
    @classmethod
    def _filled_from_preset(cls, values: Any) -> Any:
        # An empty field is one that was not chosen: on MLflow's command line every parameter is always there.
        if not isinstance(values, dict):
            return values
        mine = Architecture.model_fields
        chosen = {name: value for name, value in values.items() if name not in mine or value != ""}
        # A config that was written whole needs no preset any more, which may have changed since.
        whole = mine.keys() - LATER.keys() <= chosen.keys()
        return {**presets.read(str(chosen["preset"])), **chosen} if chosen.get("preset") and not whole else chosen

    @model_validator(mode="after")
    def _heads_fit(self) -> Architecture:
        if self.network in HEADLESS:
            if self.bigram_buckets:
                raise ValueError(f"network={self.network} has no vectors of pairs: set bigram_buckets=0")
            return self
        if not self.d_head and self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} does not divide d_model={self.d_model}; give d_head, or others"
            )
        if self.num_kv_heads and self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}")
        if self.positions == "rope" and (self.d_head or self.d_model // self.num_heads) % 2:
            raise ValueError("positions=rope turns pairs of numbers: the width of a head must be even")
        if self.unpadding and self.layer_dropout:
            raise ValueError(
                "unpadding=true has no rows that could skip a layer: set layer_dropout=0, or unpadding=false"
            )
        if self.bigram_buckets and self.patch_size:
            raise ValueError("bigram_buckets is of pairs of tokens: an image has none; set bigram_buckets=0")
        if self.norm == "post" and self.network == "transformer" and self.norm_kind == "rms":
            raise ValueError("norm_kind=rms goes with norm=pre; no paper has it after the sublayer")
        return self


class ModelConfig(Architecture):
    """All that determines a network's parameters and computation: the choices, and the values set by the data.

    BERT starts with a standard deviation of 0.02 at width 768; 0.05 is that, scaled by the square root of the widths to
    the default 128. With 0.02 the masked-LM loss stays longer on its first plateau.
    """

    vocab_size: int = Field(0, ge=0, description="Number of token ids; 0 for images")
    pad_id: int = Field(0, ge=0, description="Token id of padding")
    cls_id: int = Field(2, ge=-1, description="Token id that begins a text; -1: there is none")
    sep_id: int = Field(3, ge=-1, description="Token id that ends a text")
    mask_id: int = Field(4, ge=-1, description="Token id of [MASK]; -1: there is none")
    special_ids: tuple[int, ...] = Field((0, 1, 2, 3, 4), description="Token ids that stand for no text")
    image_height: int = Field(0, ge=0, description="Pixels; 0 for text")
    image_width: int = Field(0, ge=0, description="Pixels; 0 for text")
    image_channels: int = Field(0, ge=0, le=4, description="1 grey, 3 colour; 0 for text")

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if name not in LATER or value != LATER[name]}

    @property
    def first_id(self) -> int:
        """The lowest id that stands for text."""
        return next(i for i in range(len(self.special_ids) + 1) if i not in self.special_ids)

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_head or self.d_model // self.num_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder in an encoder-decoder."""
        return self.num_decoder_layers or self.num_layers

    @property
    def has_gate(self) -> bool:
        """Whether the feed-forward layer has a gate, and so a third matrix."""
        return self.activation in GATED

    @property
    def has_embedding_norm(self) -> bool:
        """Whether a norm stands on the embedding."""
        return self.norm == "post" if self.embedding_norm is None else self.embedding_norm

    @property
    def dropout_of_attention(self) -> float:
        """Dropout of attention weights."""
        return self.dropout if self.attention_dropout is None else self.attention_dropout

    def window_of(self, layer: int) -> int:
        """Tokens that a layer's positions look at; 0: all. The layers 0, n, 2n, ... look at all with `global_every` n."""
        return 0 if self.global_every and layer % self.global_every == 0 else self.window

    def rope_base_of(self, layer: int) -> float:
        """Base of a layer's wavelengths."""
        return self.window_rope_base if self.window_rope_base and self.window_of(layer) else self.rope_base

    def summary(self) -> str:
        """The network in a few words, for people."""
        preset = f" (preset {self.preset})" if self.preset else ""
        heads = f", {self.num_heads} heads" if self.network == "transformer" else ""
        sees = f" and a vocabulary of {self.vocab_size:,}" if self.vocab_size else ""
        if self.image_height:
            patches = f" in patches of {self.patch_size} x {self.patch_size}" if self.patch_size else ""
            sees = f", for images of {self.image_width} x {self.image_height} pixels{patches}"
        layers = "1 layer" if self.num_layers == 1 else f"{self.num_layers} layers"
        return f"{self.network} network of {layers}, width {self.d_model}{heads}{sees}{preset}"

    @classmethod
    def of(cls, architecture: Architecture, **fixed: Any) -> ModelConfig:
        """The full config of a network with the architecture that a step's Config holds; `fixed` is the data's part."""
        chosen = {name: getattr(architecture, name) for name in Architecture.model_fields}
        return cls(**{name: value for name, value in chosen.items() if value is not None}, **fixed)

    def with_changes(self, changes: Mapping[str, Any]) -> ModelConfig:
        """A copy with some fields changed, validated again."""
        return ModelConfig(**{**self.model_dump(), **changes})
