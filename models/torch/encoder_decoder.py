"""Encoder and decoder together: a source is read, a target is written (Vaswani et al. 2017, section 3).

Source and target share one vocabulary and one embedding (section 3.4).

Shapes: B batch, S source length, T target length, D d_model.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.cache import Cache
from models.torch.decoder import Decoder
from models.torch.embedding import Embedding
from models.torch.encoder import Encoder


class EncoderDecoder(nn.Module):
    """[B, S] and [B, T] -> [B, T, D]: for each target position, what may come next."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, cross=True)
        if isinstance(self.encoder.embedding, Embedding):  # of images there are no tokens to share
            self.decoder.embedding.tokens = self.encoder.embedding.tokens

    def forward(
        self, source: Tensor, source_mask: Tensor | None, target: Tensor, target_mask: Tensor | None = None
    ) -> Tensor:
        """Masks are False at padding; `target` begins with [CLS], which stands before every first token."""
        memory = self.encoder(source, source_mask)
        out: Tensor = self.decoder(target, target_mask, memory=memory, memory_mask=source_mask)
        return out

    def cache(self, source: Tensor, source_mask: Tensor | None, columns: int) -> Cache:
        """Read the sources, once; an empty cache for targets of at most `columns` tokens."""
        return self.decoder.cache(len(source), columns, self.encoder(source, source_mask), source_mask)
