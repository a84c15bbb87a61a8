"""Memory: what is exact by hand, and the estimate of activations against what autograd keeps."""

import pytest
import torch

from models.show.memory import activations, needs
from models.show.subject import CLASSES, Choice, find
from models.torch import build

SMALL = {
    "d_model": "64", "d_ff": "128", "num_heads": "4", "d_head": "0", "num_layers": "4", "max_length": "64",
    "vocab_size": "50", "dropout": "0", "num_decoder_layers": "0",
}  # fmt: skip


def kept(subject, length):
    """Numbers that autograd keeps of a forward pass, parameters left out, each storage once."""
    network = build(CLASSES[subject.part], subject.config)
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    held = []

    def pack(tensor):
        if tensor.is_floating_point() and tensor.untyped_storage().data_ptr() not in own:
            held.append(tensor)  # held on to, so that no address is used twice
        return tensor

    ids = torch.randint(5, subject.config.vocab_size, (1, length))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(ids, None, ids) if subject.part == "encoder_decoder" else network(ids)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    return sum(storages.values()) / 4


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bert", {}), ("gpt2", {}), ("llama", {}), ("llama", {"num_kv_heads": "2"}), ("gpt2", {"num_kv_heads": "1"}),
        ("modern-encoder", {}), ("t5", {}), ("transformer-2017", {}), ("albert", {}), ("roberta", {"positions": "alibi"}),
    ],
)  # fmt: skip
def test_activation_estimate_is_close_to_autograd_memory(name, changes):
    subject = find(name, Choice({**SMALL, **changes}, "", "none"))
    assert activations(subject, 48) == pytest.approx(kept(subject, 48), rel=0.1)


def test_llama_cache_size_matches_hand_calculation():
    """Two vectors of 32 heads x 128 numbers, 32 layers, 4 bytes: 1 MiB a token; a quarter with 8 heads of keys and values."""
    whole = [need.bytes for need in needs(find("llama", Choice()), 2048, 2) if need.what == "cache"]
    assert whole == [2**20, 2**20 * 2048 * 2]
    grouped = needs(find("llama", Choice({"num_kv_heads": "8"})), 2048, 2)
    assert next(need.bytes for need in grouped if need.what == "cache") == 2**18


def test_training_needs_four_floats_per_parameter():
    subject = find("bert", Choice())
    assert sum(need.bytes for need in needs(subject, 512, 1)[:3]) == 16 * subject.count


def test_encoder_needs_no_cache_and_encoder_decoder_needs_two():
    def caches(name):
        return [need for need in needs(find(name, Choice()), 128, 1) if need.what == "cache"]

    assert caches("bert") == []
    assert caches("t5")[0].bytes == caches("t5")[1].bytes == caches("t5")[2].bytes / 256
