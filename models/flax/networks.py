"""The parts of networks that have a twin in Flax: the transformer whole, and heads.

Further families (recurrent, convolutional, residual) are PyTorch's alone, and so are vectors of token pairs, and padding that is taken
out of a batch, whose shapes a compiler would not see twice.
"""

from __future__ import annotations

from flax import nnx

from models.config import ModelConfig
from models.flax import heads
from models.flax.decoder import Decoder
from models.flax.encoder import Encoder
from models.flax.encoder_decoder import EncoderDecoder
from models.network import Part
from models.twins import check_network

_TRUNKS = {"Encoder": Encoder, "Decoder": Decoder, "EncoderDecoder": EncoderDecoder}
_HEADS = {
    "Classifier": heads.Classifier,
    "EmbeddingHead": heads.EmbeddingHead,
    "LMHead": heads.LMHead,
    "MaskedLMHead": heads.MaskedLMHead,
    "TokenClassifier": heads.TokenClassifier,
}


def build(part: Part, config: ModelConfig) -> nnx.Module:
    """The module of a part. ValueError if Flax has none."""
    check_network("flax", config)
    if part.kind in _TRUNKS:
        return _TRUNKS[part.kind](config)
    if part.kind not in _HEADS:
        raise ValueError(f"framework=flax has no {part.kind}: set framework=torch, which has it")
    return _HEADS[part.kind](config, **part.options)
