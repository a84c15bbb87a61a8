"""`network: convolutional`: TextCNN, which sees words in their neighbourhood. It has an Encoder alone.

Kim 2014, "Convolutional Neural Networks for Sentence Classification" (arXiv 1408.5882), section 2:

    c_t = ReLU(w . x_{t-left : t+right} + b)       one feature, of k tokens around t; as many features for each k
    c^  = max over t of c_t                        the classifier's pooling: max

The paper takes the windows that lie within the padded sentence; here each token has one around it, so that there is a vector
for each token, whatever the kernel's size, and the maximum over them is the paper's.

Shapes: B batch, T length, D d_model, E width of the token vectors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.dropout import dropout
from models.torch.embedding import TokenEmbedding


class ConvolutionalLayer(nn.Module):
    """Windows of several sizes side by side: [B, T, E] -> [B, T, D]."""

    def __init__(self, inputs: int, outputs: int, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.kernels = nn.ModuleList(nn.Conv1d(inputs, outputs // len(sizes), size) for size in sizes)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Beyond a row's end all is 0, be it padding or nothing at all."""
        if mask is not None:
            x = x * mask.unsqueeze(-1)
        columns = x.transpose(1, 2)  # [B, E, T]
        features = [kernel(F.pad(columns, _sides(size))) for kernel, size in zip(self.kernels, self.sizes, strict=True)]
        return torch.cat(features, 1).relu().transpose(1, 2)


class Encoder(nn.Module):
    """Token ids to vectors, each of which has seen its neighbours."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sizes = [int(size) for size in config.kernel_sizes.split(",")]
        if config.d_model % len(sizes) or 0 in sizes:
            raise ValueError(
                f"kernel_sizes={config.kernel_sizes}: d_model={config.d_model} is shared out among kernels of one token at "
                "least; give sizes whose number divides it"
            )
        self.config = config
        self.embedding = TokenEmbedding(config)
        widths = [self.embedding.width, *[config.d_model] * (config.num_layers - 1)]
        self.layers = nn.ModuleList(ConvolutionalLayer(width, config.d_model, sizes) for width in widths)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T] -> [B, T, D]. `attention_mask` [B, T] is False at padding."""
        x: Tensor = self.embedding(input_ids)
        for number, layer in enumerate(self.layers):
            if number:  # the paper has one layer, and its dropout stands in the classifier
                x = dropout(x, self.config.dropout, self.training)
            x = layer(x, attention_mask)
        return x


def _sides(size: int) -> tuple[int, int]:
    """Tokens before and after its own that a kernel reads: as many, or one more after it."""
    return (size - 1) // 2, size // 2
