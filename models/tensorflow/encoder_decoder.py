"""Encoder and decoder together: a source is read, a target is written (Vaswani et al. 2017, section 3).

Source and target share one vocabulary and one embedding (section 3.4).
"""

from __future__ import annotations

from models.config import ModelConfig
from models.tensorflow.decoder import Decoder
from models.tensorflow.embedding import Embedding
from models.tensorflow.encoder import Encoder
from models.tensorflow.module import Module


class EncoderDecoder(Module):
    """The two as one; `TaskNetwork` calls them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, cross=True)
        if isinstance(self.encoder.embedding, Embedding):  # of images there are no tokens to share
            self.decoder.embedding.tokens = self.encoder.embedding.tokens
