"""The models in PyTorch, written as the papers write them."""

from models.torch.attention import MultiHeadAttention
from models.torch.encoder import Encoder, EncoderLayer
from models.torch.feed_forward import FeedForward
from models.torch.heads import Classifier, MaskedLMHead

__all__ = ["Classifier", "Encoder", "EncoderLayer", "FeedForward", "MaskedLMHead", "MultiHeadAttention"]
