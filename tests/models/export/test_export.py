"""`python -m models.export`: what transformers and onnxruntime make of a checkpoint of ours."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from models.export import onnx
from models.export.__main__ import main
from models.export.checkpoint import read
from models.huggingface.family import shapes
from models.torch.with_heads import assemble, fill
from tests.small_corpus import make_corpus, make_tokenizer

TEXTS = ["apple orchard and river boat", "a  double   space", " leads", "new\nline", "caf\u00e9 \U0001f600 \u00df", ""]
SMALL = {"d_model": 32, "d_ff": 48, "num_heads": 4, "num_layers": 2, "max_length": 24}
HEADS = {
    "masked_lm": ("encoder", "masked_lm"),
    "classification": ("encoder", "classifier"),
    "causal_lm": ("decoder", "lm"),
    "seq2seq": ("encoder", "decoder", "lm"),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return make_tokenizer(home, make_corpus(home, rows=200))


@pytest.fixture
def checkpoint(tokenizer, tmp_path):
    """A checkpoint's folder with random weights, as a step would write it."""

    def made(task, **fields):
        folder = tmp_path / "checkpoint"
        (folder / "tokenizer").mkdir(parents=True)
        own = Tokenizer(tokenizer.path)
        config = ModelConfig(**{**SMALL, "vocab_size": own.vocab_size, **fields})
        draw = np.random.default_rng(0)
        found = shapes(config, HEADS[task], 3)
        weights = {name: (0.3 * draw.standard_normal(shape)).astype(np.float32) for name, shape in found.items()}
        for name in weights:
            if name.endswith("norm.weight"):
                weights[name] += 1
        save_file(weights, folder / "weights.safetensors")
        (folder / "model.json").write_text(json.dumps(config.model_dump()))
        settings = {"labels": ["a", "b", "c"]} if task == "classification" else {}
        (folder / "task.json").write_text(json.dumps({"task": task, "settings": settings}))
        for name in ("tokenizer.model", "tokenizer.json"):
            (folder / "tokenizer" / name).write_bytes((tokenizer.path / name).read_bytes())
        return folder

    return made


def network(folder):
    held = read(folder)
    return fill(assemble(held.config, held.parts, len(held.labels)), held.weights)


def encoded(folder):
    """Texts as AutoTokenizer has them, padded; and that this is how ours has them."""
    theirs, ours = (
        transformers.AutoTokenizer.from_pretrained(folder),
        Tokenizer(folder.parent / "checkpoint" / "tokenizer"),
    )
    batch = theirs(TEXTS, padding=True, return_tensors="pt")
    for row, text in zip(batch["input_ids"].tolist(), TEXTS, strict=True):
        assert [i for i in row if i != ours.pad_id] == ours.with_ends(ours.encode(text), 100)
        assert theirs.decode(ours.encode(text)) == text
    return batch["input_ids"], batch["attention_mask"]


def test_transformers_loads_exported_encoder_with_same_logits(checkpoint, tmp_path, capsys):
    folder = checkpoint("masked_lm")
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 0
    assert "esm, encoder, masked_lm" in capsys.readouterr().out
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    ids, mask = encoded(tmp_path / "out")
    ours = network(folder)
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=mask).logits
        memory = ours.encoder(ids, mask.bool())
        mine = ours.head(memory, ours.encoder.embedding.tokens.weight)
    torch.testing.assert_close(theirs[mask.bool()], mine[mask.bool()], atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_transformers_loads_exported_classifier_with_labels(checkpoint, tmp_path, norm):
    folder = checkpoint("classification", norm=norm, pooling="cls")
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 0
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    ids, mask = encoded(tmp_path / "out")
    ours = network(folder)
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=mask).logits
        mine = ours.classifier(ours.encoder(ids, mask.bool()), mask.bool())
    torch.testing.assert_close(theirs, mine, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("task", "fields", "kind"),
    [
        ("causal_lm", {"activation": "gelu_tanh"}, "gpt2"),
        ("causal_lm", {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "bias": False}, "llama"),
        ("seq2seq", {"positions": "sinusoidal", "norm": "post", "embedding_norm": False, "activation": "relu"}, "marian"),
        ("seq2seq", {"preset": "t5", "relative_buckets": 8, "relative_distance": 16, "d_head": 8,
                     "num_decoder_layers": 2}, "t5"),
    ],
)  # fmt: skip
def test_exported_decoders_keep_end_and_suppressed_tokens(checkpoint, tmp_path, task, fields, kind, capsys):
    folder = checkpoint(task, **fields)
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 0
    assert f"{kind}, " in capsys.readouterr().out
    auto = transformers.AutoModelForCausalLM if task == "causal_lm" else transformers.AutoModelForSeq2SeqLM
    model = auto.from_pretrained(tmp_path / "out").eval()
    generation = model.generation_config
    assert (generation.eos_token_id, generation.pad_token_id) == (3, 0)
    assert generation.suppress_tokens == [0, 1, 2, 4]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer("apple orchard")["input_ids"]
    assert ids[0] == 2
    assert (ids[-1] == 3) == (task == "seq2seq"), "a prompt goes on"
    made = model.generate(torch.tensor([ids]), max_new_tokens=4, do_sample=False)[0].tolist()
    assert made[0] == 2
    assert not {0, 1, 4} & set(made)


ODD = [
    "a [MASK] b", "[CLS] text", "[SEP]", "[PAD][UNK]", " [MASK]\u2581[SEP] ", "meta\u2581symbol", "\u2581", "  two  spaces ",
    "<0x0A>", "<s>", "<0xFF><0x41>",
    "e\u0301", "\x00nul", "line\r\nend\t", "\u65e5\u672c\u8a9e", "\U0001f468\u200d\U0001f469", "", " ", "12345 007", "[mask] [MASK",
]  # fmt: skip


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("masked_lm", {}),
        ("classification", {"norm": "post", "pooling": "cls"}),
        ("causal_lm", {"activation": "gelu_tanh"}),
        ("causal_lm", {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "bias": False}),
        (
            "seq2seq",
            {"preset": "t5", "relative_buckets": 8, "relative_distance": 16, "d_head": 8, "num_decoder_layers": 2},
        ),
    ],
)
def test_exported_tokenizer_gives_same_ids_for_odd_and_special_texts(checkpoint, tmp_path, task, fields, fast):
    assert main([str(checkpoint(task, **fields)), "--to", str(tmp_path / "out")]) == 0
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", use_fast=fast)
    ours = Tokenizer(tmp_path / "checkpoint" / "tokenizer")
    end = [] if task == "causal_lm" else [3]
    for text in ODD:
        assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text), text
        assert theirs(text)["input_ids"] == [2, *ours.encode(text), *end]
        assert theirs.decode(ours.encode(text)) == ours.decode(ours.encode(text)) == text
    assert theirs("a [MASK] b", split_special_tokens=False)["input_ids"].count(4) == 1, "where a mask is meant"


def test_export_refuses_network_without_transformers_class(checkpoint, tmp_path, capsys):
    folder = checkpoint("masked_lm", positions="alibi")
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "no transformers class matches this network" in told
    assert "positions='alibi'" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_mean_pooling_classifier_exports_only_its_body(checkpoint, tmp_path, capsys):
    folder = checkpoint("classification")
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 2
    assert "pooling='mean'" in capsys.readouterr().err
    assert main([str(folder), "--to", str(tmp_path / "out"), "--body"]) == 0
    model = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    ids, mask = encoded(tmp_path / "out")
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=mask).last_hidden_state
        mine = network(folder).encoder(ids, mask.bool())
    torch.testing.assert_close(theirs[mask.bool()], mine[mask.bool()], atol=1e-5, rtol=0)


def test_hybrid_masked_lm_exports_only_its_body(checkpoint, tmp_path, capsys):
    folder = checkpoint("masked_lm")
    (folder / "task.json").write_text(json.dumps({"task": "masked_lm", "settings": {"causal_share": 0.1}}))
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 2
    assert "predicts a masked token at the position before it" in capsys.readouterr().err
    assert main([str(folder), "--to", str(tmp_path / "out"), "--body"]) == 0


def test_export_refuses_invalid_folders(checkpoint, tmp_path, capsys):
    assert main([str(tmp_path), "--to", str(tmp_path / "out")]) == 2
    assert "is no checkpoint" in capsys.readouterr().err
    folder = checkpoint("masked_lm")
    assert main([str(folder), "--to", str(folder)]) == 2
    assert "is there already and not empty" in capsys.readouterr().err
    (folder / "weights.safetensors").write_bytes(b"nothing")
    assert main([str(folder), "--to", str(tmp_path / "out")]) == 2
    assert "cannot be read" in capsys.readouterr().err


MODERN = {
    "positions": "rope",
    "norm_kind": "rms",
    "activation": "geglu",
    "window": 6,
    "global_every": 2,
    "bias": False,
    "num_kv_heads": 2,
}


def test_onnx_matches_torch_and_check_detects_changed_weights(checkpoint, tmp_path, capsys):
    folder = checkpoint("classification", **MODERN)
    assert main([str(folder), "--to", str(tmp_path / "onnx"), "--format", "onnx"]) == 0, capsys.readouterr().err
    assert "the largest difference from PyTorch is" in capsys.readouterr().out
    held, file = read(folder), tmp_path / "onnx" / "model.onnx"
    assert onnx.difference(held, file) <= onnx.BAR
    other = {name: value * 1.01 for name, value in held.weights.items()}
    changed = type(held)(held.folder, held.config, held.task, held.parts, other, held.labels)
    assert onnx.difference(changed, file) > onnx.BAR


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("masked_lm", {}),
        ("classification", {"norm": "post", "pooling": "cls", "token_types": 2}),
        ("classification", {"positions": "alibi", "pooling": "max"}),
        ("classification", {"positions": "relative", "pooling": "last", "share_layers": True, "d_embedding": 16}),
        ("masked_lm", {"positions": "sinusoidal", "scale_embeddings": True}),
    ],
)
def test_onnx_export_supports_every_encoder_variant(checkpoint, tmp_path, task, fields, capsys):
    folder = checkpoint(task, **fields)
    assert main([str(folder), "--to", str(tmp_path / "onnx"), "--format", "onnx"]) == 0, capsys.readouterr().err


def test_onnx_export_refuses_decoder(checkpoint, tmp_path, capsys):
    assert main([str(checkpoint("causal_lm")), "--to", str(tmp_path / "onnx"), "--format", "onnx"]) == 2
    assert "a decoder is not exported as ONNX" in capsys.readouterr().err
