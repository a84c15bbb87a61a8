"""TextCNN against its sum over windows, and what padding must not change."""

import pytest
import torch

from models.config import ModelConfig
from models.torch import Classifier, build, initialize


def encoder(**changes):
    config = ModelConfig(
        network="convolutional",
        **{"d_model": 12, "d_ff": 8, "num_layers": 1, "vocab_size": 30, "kernel_sizes": "2,3,4"} | changes,
    )
    made = build("Encoder", config)
    initialize(made, config, 0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made.eval()


def test_a_feature_is_a_sum_over_its_window():
    made, ids = encoder(d_embedding=5), torch.tensor([[3, 4, 5, 6, 7]])
    out, x = made(ids)[0], made.embedding.tokens.weight[ids[0]]
    for number, size in enumerate((2, 3, 4)):
        kernel = made.layers[0].kernels[number]
        for place in range(5):
            window = [place - (size - 1) // 2 + k for k in range(size)]  # around the place, the longer half after it
            total = kernel.bias + sum(kernel.weight[:, :, k] @ x[t] for k, t in enumerate(window) if 0 <= t < 5)
            torch.testing.assert_close(out[place, 4 * number : 4 * number + 4], total.clamp(min=0))


@pytest.mark.parametrize("layers", [1, 3])
def test_padding_content_does_not_change_output(layers):
    made, ids = encoder(num_layers=layers), torch.randint(1, 30, (2, 6))
    padded = torch.cat([ids, torch.randint(1, 30, (2, 5))], 1)
    mask = (torch.arange(11) < 6).expand(2, 11)
    torch.testing.assert_close(made(padded, mask)[:, :6], made(ids))


def test_a_text_shorter_than_a_kernel_has_a_vector():
    assert encoder()(torch.tensor([[3]])).shape == (1, 1, 12)


def test_max_pooling_finds_phrase_at_any_position():
    made = encoder(kernel_sizes="3")
    config = ModelConfig(network="convolutional", d_model=12, d_ff=8, vocab_size=30, pooling="max")
    head = Classifier(config, 2).eval()
    with torch.no_grad():
        made.embedding.tokens.weight[5:].zero_()  # words that say nothing
    early, late = torch.full((1, 12), 9), torch.full((1, 12), 9)
    early[0, 1:4] = late[0, 7:10] = torch.tensor([2, 3, 4])
    torch.testing.assert_close(head(made(early), None), head(made(late), None))


@pytest.mark.parametrize("sizes", ["3,4,5,6,7", "0,1,2"])
def test_invalid_kernel_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=f"kernel_sizes={sizes}: d_model=12 is shared out"):
        encoder(kernel_sizes=sizes)


def test_convolutional_network_has_no_decoder():
    with pytest.raises(ValueError, match="network=convolutional has no Decoder"):
        build("Decoder", ModelConfig(network="convolutional", vocab_size=30))
