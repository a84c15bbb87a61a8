"""The models in PyTorch, written as the papers write them."""

from models.torch import first_use
from models.torch.attention import CrossAttention, MultiHeadAttention
from models.torch.cache import Cache
from models.torch.decoder import Decoder, DecoderLayer
from models.torch.encoder import Encoder, EncoderLayer
from models.torch.encoder_decoder import EncoderDecoder
from models.torch.feed_forward import FeedForward
from models.torch.heads import (
    Classifier,
    EmbeddingHead,
    InfoNCE,
    LMHead,
    MaskedLMHead,
    ReplacedTokenHead,
    SequencePool,
    TokenClassifier,
    pool,
)
from models.torch.networks import Parts, build
from models.torch.start import initialize

__all__ = [
    "Cache", "Classifier", "CrossAttention", "Decoder", "DecoderLayer", "EmbeddingHead", "Encoder", "EncoderDecoder",
    "EncoderLayer", "FeedForward", "InfoNCE", "LMHead", "MaskedLMHead", "MultiHeadAttention", "Parts",
    "ReplacedTokenHead", "SequencePool", "TokenClassifier", "build", "initialize", "pool",
]  # fmt: skip

first_use.by_one_thread()
