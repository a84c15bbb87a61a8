"""The same logits as `transformers`, the same tensors back and forth, the same network loaded from what we write."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from benchmarks import parity
from models.huggingface import family_of, read, write

# What our networks do not have: a head for proteins, a computed table; of ViT its pooler, which no classifier looks at.
NOT_OURS = ("contact_head", "inv_freq")


def learnt(folder):
    """The tensors of a folder, but for what is not ours."""
    vit = json.loads((folder / "config.json").read_text())["model_type"] == "vit"
    return {
        # transformers 5 saves ESM's norms under TensorFlow's names, and reads both
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): value
        for name, value in load_file(folder / "model.safetensors").items()
        if not any(one in name for one in NOT_OURS) and not (vit and "pooler" in name)
    }


@pytest.fixture(scope="module", params=list(parity.CASES))
def saved(request, tmp_path_factory):
    """A case, its model, and the folder it was saved in."""
    folder = tmp_path_factory.mktemp(request.param)
    model = parity.build(request.param)
    model.save_pretrained(folder)
    return request.param, model, folder


def test_logits_match_transformers(saved):
    name, model, folder = saved
    difference, largest = parity.compare(model, folder)
    print(f"{name}: {difference:.1e} of {largest:.1f}")
    assert difference <= parity.BAR
    assert largest > 0.3, "logits of nearly nothing would agree with anything"


def test_read_then_write_preserves_tensors(saved, tmp_path):
    _, _, folder = saved
    there = read(folder)
    write(tmp_path, there.family, there.config, there.parts, there.weights, labels=there.labels)
    before, after = learnt(folder), learnt(tmp_path)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor, err_msg=name)
    again = read(tmp_path)
    assert (again.config, again.parts, again.labels) == (there.config, there.parts, there.labels)


def test_transformers_loads_written_checkpoint(saved, tmp_path):
    """Its own config.json back, and its own class finds every tensor and no other."""
    _, model, folder = saved
    there = read(folder)
    special = {
        name: value
        for name in ("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id")
        if isinstance(value := getattr(model.config, name, None), int)
    }
    write(tmp_path, there.family, there.config, there.parts, there.weights, labels=there.labels, special=special)
    about = json.loads((tmp_path / "config.json").read_text())
    kind = getattr(transformers, about["architectures"][0])
    loaded, report = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not [name for name in report["missing_keys"] if there.family != "vit" or "pooler" not in name]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    difference, _ = parity.compare(loaded.eval(), tmp_path)
    assert difference <= parity.BAR
    ours, theirs = loaded.state_dict(), model.state_dict()
    for name in ours.keys() & theirs.keys():
        if not any(one in name for one in NOT_OURS) and not (there.family == "vit" and "pooler" in name):
            assert torch.equal(ours[name], theirs[name]), name


def test_family_is_inferred_from_config_and_parts(saved):
    name, _, folder = saved
    there = read(folder)
    found = family_of(there.config, there.parts)
    # A RoBERTa or DistilBERT is, once read, a BERT.
    assert found == {"roberta": "bert", "distilbert": "bert"}.get(there.family, there.family), name
