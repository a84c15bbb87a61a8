"""`init: hf:FOLDER` and a tokenizer from elsewhere, through the steps: what is taken over, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file
from tokenizers import decoders, models, pre_tokenizers, trainers

from artifacts import Output
from artifacts.checkpoint import Checkpoint
from artifacts.errors import UserError
from artifacts.tokenizer import Tokenizer
from models.export.__main__ import main as export
from models.question import ask_places
from steps.step import load_step
from tasks import load
from tasks.model import load_model
from telemetry import Observe
from tests.networks import ask, row_losses
from tests.small_corpus import make_corpus, make_tokenizer
from tests.small_training import Recording
from training.batches import Examples
from training.errors import TrainingError

finetune = load_step("finetune")
pretrain = load_step("pretrain")
train_tokenizer = load_step("train_tokenizer")

SHORT = {
    "max_updates": 2,
    "batch_tokens": 256,
    "evaluate_every": 2,
    "checkpoint_every": 2,
    "log_every": 1,
}


@pytest.fixture(autouse=True, scope="module")
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def corpus(home):
    return make_corpus(home, rows=120)


@pytest.fixture(scope="module")
def bert(home, corpus):
    """A folder of transformers: a masked-LM BERT of random weights with its WordPiece tokenizer."""
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    special = ["[PAD]", "[unused]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    from artifacts.corpus import Corpus

    made.train_from_iterator(
        Corpus(corpus).texts("train"), trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    )
    folder = home / "bert"
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **named).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return folder


def step(module, home, inputs, observe=None, **changes):
    name = module.name
    config = module.Config(**{key: str(value.path) for key, value in inputs.items()}, **changes)
    work = home / f"work-{name}"
    output = Output(module.output, work, step=name, parents=dict(inputs), root=home)
    try:
        module.run(config, inputs, output, observe or Observe.silent())
        return output.commit()
    finally:
        shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="module")
def tokenizer(home, corpus, bert):
    return step(train_tokenizer, home, {"corpus": corpus}, source=f"hf:{bert}")


@pytest.fixture(scope="module")
def continued(home, corpus, tokenizer, bert):
    observe = Recording()
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    return step(pretrain, home, inputs, observe, init=f"hf:{bert}", learning_rate=1e-9, **SHORT), observe


def test_imported_tokenizer_keeps_special_ids_and_is_measured(tokenizer, bert):
    assert tokenizer.files() == ["huggingface.json", "tokenizer.json"]
    info = json.loads(tokenizer.file("tokenizer.json").read_text())
    assert info["kind"] == "huggingface"
    assert info["special"] == {
        "pad": 0,
        "unk": 2,
        "cls": 3,
        "sep": 4,
        "mask": 5,
        "opens": True,
        "all": [0, 1, 2, 3, 4, 5],
    }
    assert info["vocab_size"] == len(transformers.AutoTokenizer.from_pretrained(bert))
    assert info["tokenizer"]["bytes_per_token"] > 1.5
    assert info["tokenizer"]["unknown_share"] < 0.1


def test_pretraining_continues_from_folder_weights_including_head(continued, bert):
    made, observe = continued
    theirs = load_file(bert / "model.safetensors")
    mine = Checkpoint(made).weights()
    for name, other in {
        "encoder.layers.0.attention.output.weight": "bert.encoder.layer.0.attention.output.dense.weight",
        "encoder.embedding.types.weight": "bert.embeddings.token_type_embeddings.weight",
        "head.dense.weight": "cls.predictions.transform.dense.weight",
    }.items():
        np.testing.assert_allclose(mine[name], theirs[other], atol=1e-6)
    config = Checkpoint(made).config
    assert (config["d_model"], config["num_layers"], config["norm"], config["max_length"]) == (16, 1, "post", 24)
    assert [config[name] for name in ("pad_id", "cls_id", "sep_id", "mask_id")] == [0, 3, 4, 5]
    assert list(config["special_ids"]) == [0, 1, 2, 3, 4, 5]
    assert observe.of("weights.taken") == [("info", "head of bert taken over with the body")]
    assert "tokenizer/huggingface.json" in made.files()


def test_masking_uses_special_ids_of_imported_tokenizer(continued):
    """[MASK] is 5 here; a special token is never chosen, and never put in a word's place."""
    model, task = load_model(Checkpoint(continued[0])), load("masked_lm")
    rows = [[3, *range(6, 24), 4]] * 40
    batch = Examples.of(rows, [""] * 40, 0).batch(np.arange(40))
    question = ask(task, model.config, batch, seed=1)
    given, changed = batch.input_ids, question.inputs["input_ids"]
    assert (changed == 5).sum() > 40
    np.testing.assert_array_equal(changed[:, [0, -1]], given[:, [0, -1]])
    assert not set(changed[:, 1:-1].flatten().tolist()) & {0, 2, 3, 4}
    seen = []
    hook = model.network.module.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].numpy().copy()))
    row_losses(task, model.network, question)
    hook.remove()
    np.testing.assert_array_equal(seen[0], changed)


def test_trained_network_exports_back_to_transformers(continued, tmp_path):
    assert export([str(continued[0].path), "--to", str(tmp_path / "out")]) == 0
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    assert type(model).__name__ == "BertForMaskedLM"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (tokenizer.mask_token_id, tokenizer.cls_token_id) == (5, 3)
    mine = load_model(Checkpoint(continued[0]))
    ids = np.array([tokenizer("apple and boat")["input_ids"]])
    with torch.no_grad():
        theirs = model(input_ids=torch.from_numpy(ids)).logits
    ours = mine.network.logits(ask_places({"input_ids": ids}, np.ones(ids.shape, bool), ids))
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-5, rtol=0)


def test_finetune_starts_from_huggingface_folder(home, corpus, tokenizer, bert):
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    made = Checkpoint(step(finetune, home, inputs, init=f"hf:{bert}", learning_rate=1e-9, max_length=12, **SHORT))
    theirs = load_file(bert / "model.safetensors")
    np.testing.assert_allclose(
        made.weights()["encoder.embedding.positions.weight"],
        theirs["bert.embeddings.position_embeddings.weight"][:12],
        atol=1e-6,
    )
    assert made.config["pooling"] == "cls"
    assert made.pretraining == []
    scratch = Checkpoint(step(finetune, home, inputs, init=f"hf:{bert}", from_scratch=True, **SHORT))
    assert scratch.config["d_model"] == 16
    name = "encoder.layers.0.attention.output.weight"
    assert not np.allclose(scratch.weights()[name], made.weights()[name], atol=1e-3)


def test_vocabulary_that_does_not_match_weights_is_rejected(home, corpus, bert):
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(home / "other", corpus)}
    with pytest.raises(
        TrainingError, match=r"do not belong together: id 1 is '\[unused\]' there, and '\[UNK\]' in the tok"
    ):
        step(pretrain, home, inputs, init=f"hf:{bert}", **SHORT)


def test_folder_without_tokenizer_requires_equal_vocabulary_size(home, corpus, tokenizer, bert, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(bert / name, tmp_path)
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    step(pretrain, home, inputs, init=f"hf:{tmp_path}", **SHORT)
    other = {"corpus": corpus, "tokenizer": make_tokenizer(home / "third", corpus)}
    with pytest.raises(TrainingError, match=r"weights for \d+ tokens, but the tokenizer has \d+; they do not belong"):
        step(pretrain, home, other, init=f"hf:{tmp_path}", **SHORT)


def test_non_finite_weights_in_folder_are_rejected(home, corpus, tokenizer, bert, tmp_path):
    shutil.copytree(bert, tmp_path / "bert")
    held = load_file(bert / "model.safetensors")
    held["bert.embeddings.LayerNorm.weight"][0] = np.nan
    save_file(held, tmp_path / "bert" / "model.safetensors")
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    with pytest.raises(
        TrainingError, match=r"tensor bert.embeddings.LayerNorm.weight holds values that are not finite"
    ):
        step(pretrain, home, inputs, init=f"hf:{tmp_path / 'bert'}", **SHORT)


def test_fingerprint_includes_files_of_huggingface_folder(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "bert")
    config = pretrain.Config(corpus="c", tokenizer="t", init=f"hf:{tmp_path / 'bert'}")
    assert {file.name for file in pretrain.files(config)} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    config = train_tokenizer.Config(corpus="c", source=f"hf:{tmp_path / 'bert'}")
    assert "tokenizer.json" in {file.name for file in train_tokenizer.files(config)}
    assert pretrain.files(pretrain.Config(corpus="c", tokenizer="t")) == []
    (tmp_path / "bert" / "model.safetensors").rename(tmp_path / "bert" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model.bin: not read"):
        pretrain.files(pretrain.Config(corpus="c", tokenizer="t", init=f"hf:{tmp_path / 'bert'}"))


@pytest.mark.parametrize("given", ["bert-base-uncased", "hf:/nowhere/at/all"])
def test_init_that_is_not_a_folder_is_rejected(given):
    with pytest.raises(UserError, match=r"init=.*: no folder; give hf:FOLDER"):
        pretrain.files(pretrain.Config(corpus="c", tokenizer="t", init=given))


def test_checkpoint_and_init_exclude_each_other():
    with pytest.raises(ValidationError, match="give a checkpoint or init to start from, not both"):
        finetune.Config(corpus="c", tokenizer="t", checkpoint="x", init="hf:y")


def test_exported_folder_restores_weights_and_tokenizer(home, corpus, tmp_path):
    """An exported folder can be the start again: its tokenizer.json has the vocabulary of our sentencepiece model."""
    tokenizer = make_tokenizer(home / "own", corpus)
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    small = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_layers": 1, "max_length": 24}
    made = step(pretrain, home, inputs, **small, **SHORT)
    assert export([str(made.path), "--to", str(tmp_path / "out")]) == 0
    again = step(pretrain, home, inputs, init=f"hf:{tmp_path / 'out'}", learning_rate=1e-9, **SHORT)
    before, after = Checkpoint(made).weights(), Checkpoint(again).weights()
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-6, err_msg=name)
    assert Tokenizer(again.path / "tokenizer").digest == Tokenizer(tokenizer.path).digest
