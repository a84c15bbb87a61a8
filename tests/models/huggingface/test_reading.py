"""Folders that are wrong: each is refused with one line that names the file, the key or the tensor."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmarks import parity
from models.config import ModelConfig
from models.huggingface import FolderError, family_of, read, write
from models.huggingface.reading import FAMILIES, family
from models.huggingface.writing import refused_fields


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            parity.build(name).save_pretrained(made[name])
        return made[name]

    return of


@pytest.fixture
def copy(folders, tmp_path):
    """A case's folder with its config or its tensors changed."""

    def changed(name, config=None, tensors=None):
        about = json.loads((folders(name) / "config.json").read_text()) | (config or {})
        held = load_file(folders(name) / "model.safetensors")
        for tensor, value in (tensors or {}).items():
            if value is None:
                del held[tensor]
            else:
                held[tensor] = value(held.get(tensor))
        (tmp_path / "config.json").write_text(json.dumps(about))
        save_file({key: np.ascontiguousarray(value) for key, value in held.items()}, tmp_path / "model.safetensors")
        return tmp_path

    return changed


QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("name", "tensors", "message"),
    [
        ("bert", {QUERY: None}, f"tensor {QUERY} is missing"),
        ("bert", {QUERY: lambda x: x[:, :-1]}, rf"tensor {QUERY} is \[32, 31\], where config.json means \[32, 32\]"),
        ("bert", {QUERY: lambda x: x * np.nan}, f"tensor {QUERY} holds values that are not finite"),
        ("bert", {QUERY: lambda x: x.astype(np.int8)}, f"tensor {QUERY} is of type I8; quantised"),
        ("bert", {"bert.adapter.weight": lambda _: np.ones(3, np.float32)}, "tensor bert.adapter.weight is not known to bert"),
        ("bert", {"cls.predictions.decoder.weight": lambda _: np.ones((61, 32), np.float32)},
         "tensor cls.predictions.decoder.weight is tied by config.json, but differs from its counterpart"),
        ("llama", {"lm_head.weight": None}, "tensor lm_head.weight is missing"),
        ("t5", {"decoder.final_layer_norm.weight": None}, "tensor decoder.final_layer_norm.weight is missing"),
        ("marian", {"final_logits_bias": lambda x: x[0]}, r"tensor final_logits_bias is \[61\], where .* \[1, 61\]"),
        ("gpt2", {"transformer.h.0.attn.c_attn.weight": lambda x: x.T}, r"c_attn.weight is \[96, 32\], where .* \[32, 96\]"),
    ],
)  # fmt: skip
def test_error_names_wrong_tensor(copy, name, tensors, message):
    with pytest.raises(FolderError, match=message):
        read(copy(name, tensors=tensors))


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "bert",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type='relative_key' is not supported",
        ),
        ("bert", {"hidden_act": "mish"}, "hidden_act='mish' is not supported; known: relu"),
        ("bert", {"hidden_act": "relu"}, "activation='relu' does not go with encoder, masked_lm"),
        ("bert", {"is_decoder": True}, "is_decoder=True is not supported"),
        ("bert", {"num_attention_heads": 5}, "num_heads=5 does not divide d_model=32"),
        ("bert", {"num_hidden_layers": "many"}, "num_layers: "),
        ("bert", {"model_type": "mamba"}, "model_type='mamba' is not supported; known: bert"),
        ("bert", {"quantization_config": {"bits": 4}}, "quantization_config=.* is not supported"),
        ("bert-classifier", {"id2label": {"0": "a", "2": "b"}}, "id2label must name each number"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "rope_parameters: rope_type='llama3'"),
        ("llama", {"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "rope_scaling: rope_type='linear'"),
        ("llama", {"attention_bias": True}, "mlp_bias=False is not supported"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True is not supported"),
        ("t5", {"feed_forward_proj": "gated-mish"}, "feed_forward_proj='mish' is not supported"),
        ("marian", {"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings=False"),
        ("marian", {"decoder_ffn_dim": 64}, "decoder_ffn_dim=64 is not supported: encoder and decoder are alike"),
    ],
)
def test_error_names_unsupported_config_value(copy, name, config, message):
    with pytest.raises(FolderError, match=message):
        read(copy(name, config=config))


def test_pickled_weights_are_refused_with_save_pretrained_hint(copy):
    folder = copy("bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FolderError, match=r"pytorch_model.bin: not read: .* runs any code .*save_pretrained"):
        read(folder)


def test_error_names_missing_or_unreadable_model_file(tmp_path):
    with pytest.raises(FolderError, match=r"config.json: missing; .* is no folder that transformers saved"):
        read(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FolderError, match=r"has no model.safetensors"):
        read(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(FolderError, match=r"model.safetensors: cannot be read"):
        read(tmp_path)


def test_shards_are_read_as_one_file(copy):
    folder = copy("bert")
    whole, held = read(folder), load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {}
    for number, some in enumerate((sorted(held)[:10], sorted(held)[10:])):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: held[name] for name in some}, folder / file)
        places |= dict.fromkeys(some, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    for name, value in read(folder).weights.items():
        np.testing.assert_array_equal(value, whole.weights[name])
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FolderError, match=r"model-00002-of-00002.safetensors: missing, though"):
        read(folder)


def test_index_refuses_files_outside_folder(copy):
    folder = copy("bert")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    with pytest.raises(FolderError, match=r"other.safetensors', which is no file of this folder"):
        read(folder)


def test_bfloat16_weights_are_read_as_upper_half_of_float32(copy):
    folder = copy("bert", tensors={QUERY: lambda x: x.astype(np.float16)})
    read(folder)  # half precision as it is
    held = load_file(folder / "model.safetensors")
    upper = {name: (value.astype("<f4").view("<u4") >> 16).astype("<u2") for name, value in held.items()}
    header, body = {}, b""
    for name, value in upper.items():
        header[name] = {
            "dtype": "BF16",
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + value.nbytes],
        }
        body += value.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    got = read(folder).weights["encoder.embedding.tokens.weight"]
    exact = held["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(got, (exact.astype("<f4").view("<u4") & 0xFFFF0000).view("<f4"))


SMALL = {"d_model": 32, "d_ff": 48, "num_heads": 4, "num_layers": 2, "max_length": 24, "vocab_size": 61}


@pytest.mark.parametrize(
    ("parts", "fields", "named"),
    [
        (("encoder", "masked_lm"), {"positions": "alibi"}, "positions='alibi'"),
        (("encoder", "masked_lm"), {"window": 8}, "window=8"),
        (("encoder", "classifier"), {"norm": "post"}, "pooling='mean'"),
        (
            ("decoder", "lm"),
            {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "window": 8},
            "llama: window=8",
        ),
        (("encoder", "decoder", "lm"), {"share_layers": True}, "share_layers=True"),
        (("encoder", "masked_lm"), {"network": "convolutional"}, "network='convolutional'"),
    ],
)
def test_error_names_field_without_transformers_equivalent(parts, fields, named):
    with pytest.raises(FolderError, match=named):
        family_of(ModelConfig(**SMALL | fields), parts)


@pytest.mark.parametrize("preset", ["bert", "roberta", "gpt2", "llama", "t5", "transformer-2017"])
def test_paper_presets_have_transformers_class(preset):
    kinds = {"gpt2": ("decoder", "lm"), "llama": ("decoder", "lm"), "bert": ("encoder", "masked_lm")}
    parts = kinds.get(preset, ("encoder", "masked_lm") if preset == "roberta" else ("encoder", "decoder", "lm"))
    config = ModelConfig(preset=preset, vocab_size=100)
    expected = {"roberta": "bert", "transformer-2017": "marian"}.get(preset, preset)
    assert family_of(config, parts) == expected
    assert all(family(name).model_type == name for name in FAMILIES)
    assert not refused_fields(family(expected), config, parts)


def test_missing_parameter_is_reported_before_writing(folders, tmp_path):
    there = read(folders("bert"))
    weights = {name: value for name, value in there.weights.items() if name != "head.bias"}
    with pytest.raises(FolderError, match=r"parameter head.bias is missing"):
        write(tmp_path / "out", "bert", there.config, there.parts, weights)
    assert not (tmp_path / "out").exists()
