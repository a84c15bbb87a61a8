"""Translation before the transformer: an encoder in two directions, and a decoder that looks at its vectors.

Source and target share one vocabulary and one embedding, as the Transformer's do.

Shapes: B batch, S source length, T target length, D d_model.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.recurrent.aligned import ALIGNED, AlignedDecoder
from models.torch.recurrent.cache import StateCache
from models.torch.recurrent.encoder import Encoder


class EncoderDecoder(nn.Module):
    """[B, S] and [B, T] -> [B, T, D]: for each target position, what may come next."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder: AlignedDecoder = ALIGNED[config.alignment](config)
        self.decoder.embedding.tokens = self.encoder.embedding.tokens

    def forward(
        self, source: Tensor, source_mask: Tensor | None, target: Tensor, target_mask: Tensor | None = None
    ) -> Tensor:
        """Masks are False at padding; `target` begins with [CLS], which stands before every first token."""
        memory = self.encoder(source, source_mask)
        out: Tensor = self.decoder(target, target_mask, memory=memory, memory_mask=source_mask)
        return out

    def cache(self, source: Tensor, source_mask: Tensor | None, columns: int) -> StateCache:
        """Read the sources, once; a cache for targets."""
        return self.decoder.cache(len(source), columns, self.encoder(source, source_mask), source_mask)
