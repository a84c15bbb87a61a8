"""FLOPs by formula against what PyTorch counts when it runs the network."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.config import ModelConfig
from models.show.flops import terms, totals, visible_keys
from models.show.subject import CLASSES, Choice, ShowError, find
from models.torch import LMHead, MaskedLMHead
from models.torch.introspection import flops_of
from models.torch.masks import build_mask

SMALL = {"d_model": "32", "d_ff": "48", "num_heads": "4", "num_layers": "3", "max_length": "40", "vocab_size": "60"}
KINDS = [
    ("bert", {}), ("albert", {"d_embedding": "16"}), ("modern-encoder", {"window": "6"}), ("roberta", {"d_head": "6"}),
    ("gpt2", {}), ("llama", {}), ("llama", {"num_kv_heads": "2"}), ("gpt2", {"share_layers": "true"}),
    ("t5", {"d_head": "12", "num_decoder_layers": "2"}), ("transformer-2017", {}),
    ("t5", {"d_head": "0", "num_decoder_layers": "0", "share_layers": "true", "num_kv_heads": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), KINDS)
def test_network_flops_match_pytorch_counter(name, changes):
    subject, length = find(name, Choice({**SMALL, **changes}, "", "none")), 12
    found = totals(terms(subject, length))
    assert sum(found.values()) * length == flops_of(CLASSES[subject.part], subject.config, length)


@pytest.mark.parametrize("changes", [{}, {"d_embedding": "16"}, {"tie_embeddings": "false"}])
def test_output_layer_flops_match_pytorch_counter(changes):
    subject, length = find("gpt2", Choice({**SMALL, **changes})), 12
    config = subject.config
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        embedding = torch.zeros(config.vocab_size, config.d_embedding or config.d_model)
        LMHead(config)(torch.zeros(1, length, config.d_model), embedding)
    assert terms(subject, length)[-1].flops * length == counter.get_total_flops()


def test_masked_lm_output_flops_count_only_masked_tokens():
    subject = find("bert", Choice(SMALL))
    config = subject.config
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        MaskedLMHead(config)(torch.zeros(15, config.d_model), torch.zeros(config.vocab_size, config.d_model))
    assert terms(subject, 20)[-1].flops * 100 == pytest.approx(counter.get_total_flops())


def test_gpt2_flops_match_scaling_law_formula():
    """Kaplan et al. 2020, section 2.1: N = 12 n d^2 weights, 2 N FLOPs a token, and 2 n T d for the half of the scores that
    causal attention needs."""
    matrices, attention, _ = terms(find("gpt2", Choice()), 1024)
    n, d = 12, 768
    assert matrices.flops == 2 * 12 * n * d * d
    assert attention.flops / 2 == 2 * n * 1024 * d


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [0, 1, 4, 5, 50])
@pytest.mark.parametrize("length", [1, 3, 9])
def test_visible_keys_match_attention_mask(causal, window, length):
    config = ModelConfig(window=window, vocab_size=10)
    at = torch.arange(length)[None]
    mask = build_mask(at, at, torch.ones(1, length, dtype=torch.bool), causal=causal, window=window)
    expected = mask.expand(1, 1, length, length).sum().item() / length
    assert visible_keys(config, 0, length, causal=causal) == pytest.approx(expected)


def test_length_beyond_learned_positions_is_refused():
    with pytest.raises(ShowError, match="--length 600: learned positions end at max_length=512"):
        terms(find("bert", Choice()), 600)
