"""The models in PyTorch, written as the papers write them."""

from models.torch.attention import CrossAttention, MultiHeadAttention
from models.torch.cache import Cache
from models.torch.decoder import Decoder, DecoderLayer
from models.torch.encoder import Encoder, EncoderLayer
from models.torch.encoder_decoder import EncoderDecoder
from models.torch.heads import (
    Classifier,
    EmbeddingHead,
    LMHead,
    MaskedLMHead,
    ReplacedTokenHead,
    SequencePool,
    TokenClassifier,
    pool,
)
from models.torch.initialization import initialize
from models.torch.mkl_warmup import warm_up
from models.torch.networks import build
from models.torch.position_wise import FeedForward

__all__ = [
    "Cache", "Classifier", "CrossAttention", "Decoder", "DecoderLayer", "EmbeddingHead", "Encoder", "EncoderDecoder",
    "EncoderLayer", "FeedForward", "LMHead", "MaskedLMHead", "MultiHeadAttention", "ReplacedTokenHead", "SequencePool",
    "TokenClassifier", "build", "initialize", "pool",
]  # fmt: skip

warm_up()
