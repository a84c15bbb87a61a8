"""Names and shapes of a transformer's parameters: the checkpoint format, the same for every framework.

Matrices are stored as PyTorch's Linear keeps them, [outputs, inputs]; `attention.qkv` stacks query, key and value,
`feed_forward.inner` of a gated layer the gate on the value.
"""

from __future__ import annotations

import math

from models.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]

STEM_WIDTH = 64  # channels between the convolutions of CCT's stem, as in its code (src/utils/tokenizer.py)


def count(shapes: Shapes) -> int:
    """Total number of parameters in these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def under(name: str, shapes: Shapes) -> Shapes:
    """The same as a child called `name` has them."""
    return {f"{name}.{own}": shape for own, shape in shapes.items()}


def encoder(config: ModelConfig) -> Shapes:
    """Parameters of the encoder, without a head."""
    shapes = _embedding(config)
    for layer in range(1 if config.share_layers else config.num_layers):
        shapes |= _layer(config, f"layers.{layer}", cross=False)
    return {**shapes, **_top(config)}


def decoder(config: ModelConfig, *, cross: bool = False) -> Shapes:
    """Parameters of the decoder; with `cross`, of an encoder-decoder's (which shares the encoder's token vectors)."""
    shapes = _embedding(config)
    layers = config.decoder_layers if cross else config.num_layers
    for layer in range(1 if config.share_layers else layers):
        shapes |= _layer(config, f"layers.{layer}", cross=cross)
    return {**shapes, **_top(config)}


def encoder_decoder(config: ModelConfig) -> Shapes:
    """Parameters of both, by the names of a network that has them as children; the token vectors they share stand once."""
    shared = "embedding.tokens.weight"
    decoder_parameters = {name: shape for name, shape in decoder(config, cross=True).items() if name != shared}
    return {**under("encoder", encoder(config)), **under("decoder", decoder_parameters)}


def masked_lm_head(config: ModelConfig) -> Shapes:
    """Parameters of the masked-LM head; its output matrix is the token embedding (tied)."""
    width = config.d_embedding or config.d_model
    dense = _linear("dense", width, config.d_model, config.bias)
    return {**dense, **_norm(config, "norm", width), "bias": (config.vocab_size,)}


def lm_head(config: ModelConfig) -> Shapes:
    """Parameters of the next-token head; no matrix if the output matrix is the embedding."""
    shapes: Shapes = {"bias": (config.vocab_size,)} if config.output_bias else {}
    if not config.tie_embeddings:
        return {**shapes, **_linear("output", config.vocab_size, config.d_model, False)}
    return {
        **shapes,
        **(_linear("projection", config.d_embedding, config.d_model, False) if config.d_embedding else {}),
    }


def replaced_token_head(config: ModelConfig) -> Shapes:
    """Parameters of the head that says which tokens were replaced."""
    return {**_linear("dense", config.d_model, config.d_model, True), **_linear("output", 1, config.d_model, True)}


def classifier(config: ModelConfig, num_labels: int, *, hidden: bool = True) -> Shapes:
    """Parameters of the classification head; those of images have no hidden layer."""
    return {
        **_sequence_pool(config),
        **(_linear("dense", config.d_model, config.d_model, True) if hidden else {}),
        **_linear("output", num_labels, config.d_model, True),
    }


def token_classifier(config: ModelConfig, num_tags: int) -> Shapes:
    """Parameters of the head that gives each token a tag."""
    return _linear("output", num_tags, config.d_model, True)


def embedding_head(config: ModelConfig, projection: int) -> Shapes:
    """Parameters of the head that makes one vector of a sequence: none without a projection and learned pooling."""
    matrix = _linear("projection", projection, config.d_model, False) if projection else {}
    return {**_sequence_pool(config), **matrix}


def _sequence_pool(config: ModelConfig) -> Shapes:
    return _linear("pool.score", 1, config.d_model, True) if config.pooling == "sequence" else {}


def _embedding(config: ModelConfig) -> Shapes:
    if config.image_height:
        return _image_embedding(config)
    width = config.d_embedding or config.d_model
    shapes: Shapes = {"embedding.tokens.weight": (config.vocab_size, width)}
    if config.bigram_buckets:
        shapes["embedding.pairs.weight"] = (config.bigram_buckets, width)
    if config.positions == "learned":
        shapes["embedding.positions.weight"] = (config.max_length, width)
    if config.token_types:
        shapes["embedding.types.weight"] = (config.token_types, width)
    if config.has_embedding_norm:
        shapes |= _norm(config, "embedding.norm", width)
    if config.d_embedding:
        shapes |= _linear("embedding.projection", config.d_model, width, True)
    return shapes


def _image_embedding(config: ModelConfig) -> Shapes:
    d, channels, size = config.d_model, config.image_channels, config.patch_size
    height, width = config.image_height, config.image_width
    shapes: Shapes = {}
    if config.convolutional_stem:
        kernel = config.stem_kernel
        for layer in range(config.stem_layers):
            outputs = d if layer == config.stem_layers - 1 else STEM_WIDTH
            shapes[f"embedding.convolutions.{layer}.weight"] = (outputs, channels, kernel, kernel)
            channels, height, width = outputs, stem_side(height, kernel), stem_side(width, kernel)
    else:
        shapes |= {"embedding.patches.weight": (d, channels, size, size), "embedding.patches.bias": (d,)}
        height, width = height // size, width // size
    if config.pooling == "cls":
        shapes["embedding.class_token.weight"] = (d,)
    if config.positions == "learned":
        shapes["embedding.positions.weight"] = (height * width + (config.pooling == "cls"), d)
    return {**shapes, **(_norm(config, "embedding.norm", d) if config.has_embedding_norm else {})}


def stem_side(pixels: int, kernel: int) -> int:
    """Places that a side of so many pixels has after one convolution and pooling of CCT's stem; strides and paddings are
    those of its code (SHI-Labs/Compact-Transformers, src/cct.py)."""
    stride, padding = stem_step(kernel)
    convolved = (pixels + 2 * padding - kernel) // stride + 1
    return (convolved - 1) // 2 + 1


def stem_step(kernel: int) -> tuple[int, int]:
    """Stride and padding of such a convolution."""
    return max(1, kernel // 2 - 1), max(1, kernel // 2)


def _layer(config: ModelConfig, name: str, *, cross: bool) -> Shapes:
    d, bias = config.d_model, config.bias
    heads, keys_values = config.num_heads * config.head_width, 2 * config.kv_heads * config.head_width
    shapes = {
        **_norm(config, f"{name}.attention_norm", d),
        **_linear(f"{name}.attention.qkv", heads + keys_values, d, bias),
        **_linear(f"{name}.attention.output", d, heads, bias),
    }
    if cross:
        shapes |= {
            **_norm(config, f"{name}.cross_norm", d),
            **_linear(f"{name}.cross.query", heads, d, bias),
            **_linear(f"{name}.cross.key_value", keys_values, d, bias),
            **_linear(f"{name}.cross.output", d, heads, bias),
        }
    return shapes | {
        **_norm(config, f"{name}.feed_forward_norm", d),
        **_linear(f"{name}.feed_forward.inner", (2 if config.has_gate else 1) * config.d_ff, d, bias),
        **_linear(f"{name}.feed_forward.outer", d, config.d_ff, bias),
    }


def _top(config: ModelConfig) -> Shapes:
    shapes = _norm(config, "final_norm", config.d_model) if config.norm == "pre" else {}
    if config.positions == "relative":
        shapes["relative.weight"] = (config.relative_buckets, config.num_heads)
    return shapes


def _linear(name: str, outputs: int, inputs: int, bias: bool) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), **({f"{name}.bias": (outputs,)} if bias else {})}


def _norm(config: ModelConfig, name: str, width: int) -> Shapes:
    biased = config.norm_kind == "layer" and config.bias
    return {f"{name}.weight": (width,), **({f"{name}.bias": (width,)} if biased else {})}
