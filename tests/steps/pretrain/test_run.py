"""pretrain and finetune as steps: what they write, that they repeat themselves, and what they refuse."""

import json
import shutil

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from artifacts import Output, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from steps.pages import page
from steps.step import load_step
from tasks.model import load_model
from tests.small_corpus import make_corpus, make_tokenizer
from tests.small_training import Recording, recorded
from training.errors import TrainingError

finetune = load_step("finetune")
pretrain = load_step("pretrain")

SMALL = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_layers": 1, "max_length": 24}
SHORT = {
    "max_updates": 12,
    "batch_tokens": 256,
    "evaluate_every": 6,
    "checkpoint_every": 4,
    "log_every": 4,
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
    return make_corpus(home, rows=200)


@pytest.fixture(scope="module")
def tokenizer(home, corpus):
    return make_tokenizer(home, corpus)


def run(step, home, inputs, observe=None, work="work", **changes):
    name = step.name
    paths = {key: str(value.path) for key, value in inputs.items()}
    config = step.Config(**paths, **{**SMALL, **SHORT, **changes})
    output = Output("checkpoint", home / work, step=name, parents=dict(inputs), root=home)
    step.run(config, inputs, output, observe or Recording())
    made = output.commit()
    shutil.rmtree(output.work)  # as the wrapper does
    return made


@pytest.fixture(scope="module")
def pretrained(home, corpus, tokenizer):
    return run(pretrain, home, {"corpus": corpus, "tokenizer": tokenizer})


def test_pretrained_checkpoint_is_complete_and_loads_alone(pretrained, tokenizer, tmp_path):
    assert pretrained.files() == [
        "history.json",
        "model.json",
        "task.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer.model",
        "weights.safetensors",
    ]
    assert pretrained.counts["updates"] == 12
    assert sorted(pretrained.manifest["sidecars"]) == ["sidecars/training.json", "sidecars/updates.parquet"], (
        "which rows each update saw is beside the content: the digest and a registered model do without it"
    )
    shutil.copytree(pretrained.path, tmp_path / "alone")
    checkpoint = Checkpoint(tmp_path / "alone")
    assert checkpoint.task == "masked_lm"
    assert checkpoint.pretraining == []
    model = load_model(checkpoint)
    assert model.config.vocab_size == model.tokenizer.vocab_size
    weights = checkpoint.weights()
    assert {str(value.dtype) for value in weights.values()} == {"float32"}
    assert sum(value.size for value in weights.values()) == pretrained.counts["parameters"]
    assert all(np.array_equal(weights[n], value) for n, value in model.network.weights().items())


def test_history_contains_no_times_or_paths(pretrained):
    history = json.loads(pretrained.file("history.json").read_text())
    assert set(history["training"][0]) == {"update", "loss", "tokens", "learning_rate", "gradient_norm"}
    assert str(pretrained.path.parent) not in pretrained.file("history.json").read_text()


def test_digest_is_reproducible_and_depends_on_the_seed(home, corpus, tokenizer, pretrained):
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    assert run(pretrain, home, inputs).digest == pretrained.digest
    assert run(pretrain, home, inputs, seed=2).digest != pretrained.digest


def test_finetune_starts_from_the_pretrained_encoder(home, corpus, tokenizer, pretrained):
    inputs = {"corpus": corpus, "tokenizer": tokenizer, "checkpoint": pretrained}
    tuned = run(finetune, home, inputs, max_updates=1, learning_rate=1e-9)
    again = run(finetune, home, {**inputs, "checkpoint": tuned}, max_updates=1, learning_rate=1e-9, seed=2)
    before, after = Checkpoint(pretrained).weights(), Checkpoint(tuned).weights()
    name = "encoder.layers.0.attention.qkv.weight"
    np.testing.assert_allclose(after[name], before[name], atol=1e-7)
    assert Checkpoint(tuned).pretraining == [{**Checkpoint(pretrained).history, "task": "masked_lm"}]
    tasks = [(one["task"], one["updates"]) for one in Checkpoint(again).pretraining]
    assert tasks == [("masked_lm", Checkpoint(pretrained).history["updates"]), ("classification", 1)]
    assert Checkpoint(tuned).settings == {"labels": ["a", "b", "c"]}


def test_from_scratch_uses_checkpoint_architecture_without_weights(home, corpus, tokenizer, pretrained):
    inputs = {"corpus": corpus, "tokenizer": tokenizer, "checkpoint": pretrained}
    tuned = Checkpoint(run(finetune, home, inputs))
    scratch = Checkpoint(run(finetune, home, inputs, from_scratch=True))
    with pytest.raises(UserError, match="d_model=32: a fine-tuning takes its network from the checkpoint"):
        run(finetune, home, inputs, from_scratch=True, d_model=32, d_ff=8)
    assert scratch.config == tuned.config, "its architecture is the checkpoint's"
    assert scratch.pretraining == []
    shapes = [{name: value.shape for name, value in c.weights().items()} for c in (tuned, scratch)]
    assert shapes[0] == shapes[1]
    alone = Checkpoint(
        run(finetune, home, {"corpus": corpus, "tokenizer": tokenizer}, from_scratch=True, d_model=32, d_ff=8)
    )
    assert (alone.config["d_model"], alone.config["d_ff"]) == (32, 8), "without one, its own parameters say it"


def test_interrupted_step_resumes_from_its_work_folder(home, corpus, tokenizer, pretrained):
    class Dies(Recording):
        def metric(self, name, value, *, update=None, **attributes):
            if update == 8:
                raise KeyboardInterrupt

    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    with pytest.raises(KeyboardInterrupt):
        run(pretrain, home, inputs, Dies(), work="killed")
    observe = Recording()
    again = run(pretrain, home, inputs, observe, work="killed")
    assert again.digest == pretrained.digest
    assert recorded(again.path / "sidecars") == recorded(pretrained.path / "sidecars")
    assert observe.of("checkpoint.resumed") == [("info", "going on after update 4")]


@pytest.mark.parametrize("options", [{"lora_rank": 2}, {"freeze_layers": 1, "ema": 0.5, "spike": 2.0}])
def test_finetuning_with_kept_weights_resumes_and_writes_plain_ones(home, corpus, tokenizer, pretrained, options):
    class Dies(Recording):
        def metric(self, name, value, *, update=None, **attributes):
            if update == 8:
                raise KeyboardInterrupt

    inputs = {"corpus": corpus, "tokenizer": tokenizer, "checkpoint": pretrained}
    whole = run(finetune, home, inputs, work="whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(finetune, home, inputs, Dies(), work="killed", **options)
    assert run(finetune, home, inputs, work="killed", **options).digest == whole.digest
    plain = Checkpoint(run(finetune, home, inputs, work="plain"))
    before, after = Checkpoint(pretrained).weights(), Checkpoint(whole).weights()
    assert after.keys() == plain.weights().keys()
    moved = {name for name in after.keys() & before.keys() if not np.array_equal(after[name], before[name])}
    matrices = {name for name in after if name.startswith("encoder.layers.") and after[name].ndim == 2}
    assert moved == (matrices if "lora_rank" in options else set())
    assert load_model(Checkpoint(whole)).config == load_model(plain).config


def test_encoder_of_both_objectives_can_be_finetuned_as_decoder(home, corpus, tokenizer, pretrained):
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    hybrid = run(pretrain, home, inputs, work="hybrid", options={"causal_share": 0.5})
    assert hybrid.digest != pretrained.digest
    barely = {"task": "causal_lm", "max_updates": 1, "learning_rate": 1e-9}
    tuned = Checkpoint(run(finetune, home, inputs | {"checkpoint": hybrid}, work="decoder", **barely))
    before, after = Checkpoint(hybrid).weights(), tuned.weights()
    taken = {name for name in after if name.startswith("decoder.")}
    assert {name.replace("encoder", "decoder", 1) for name in before if name.startswith("encoder.")} == taken
    for name in taken:
        np.testing.assert_allclose(after[name], before[name.replace("decoder", "encoder", 1)], atol=1e-7)
    with pytest.raises(TrainingError, match="nothing that this task can take over"):
        run(finetune, home, inputs | {"checkpoint": pretrained}, work="refused", **barely)


def test_generated_samples_are_kept_in_history_and_shown(home, corpus, tokenizer):
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    made = Checkpoint(run(pretrain, home, inputs, work="writes", task="causal_lm"))
    kept = made.history["samples"]
    assert [entry["update"] for entry in kept] == [entry["update"] for entry in made.history["validation"]] == [6, 12]
    texts = set(Corpus(corpus).texts("validation"))
    for entry in kept:
        assert len(entry["texts"]) == 3
        for text, written in entry["texts"]:
            assert text in {whole[:300] for whole in texts}
            begun, _, goes_on = written.partition("|")
            assert text.startswith(begun)
            assert goes_on
    (block,) = page.samples(made.history)
    assert [heading for heading, _ in block.items] == ["After 6 updates", "After 12 updates"]
    assert "samples" not in Checkpoint(run(pretrain, home, inputs, work="silent")).history, "this task writes nothing"


def test_a_checkpoint_of_another_tokenizer_is_refused(home, corpus, pretrained):
    other = make_tokenizer(home / "other", corpus, vocab_size=370)
    inputs = {"corpus": corpus, "tokenizer": other, "checkpoint": pretrained}
    with pytest.raises(TrainingError, match=r"trained with tokenizer [0-9a-f]{12}, not with [0-9a-f]{12}; give"):
        run(finetune, home, inputs)


@pytest.mark.parametrize(
    ("step", "wrong", "named"),
    [
        (finetune, {}, "give a checkpoint to start from, or set from_scratch=true"),
        (finetune, {"from_scratch": True, "learning_rat": 1}, "learning_rat"),
        (pretrain, {"num_heads": 5}, "num_heads=5 does not divide d_model=128"),
        (pretrain, {"max_updates": -1}, "max_updates"),
        (pretrain, {"freeze_layers": 1}, "freeze_layers keeps weights that were trained before"),
        (finetune, {"from_scratch": True, "checkpoint": "c", "lora_rank": 4}, "or set lora_rank=0"),
        (finetune, {"checkpoint": "c", "lora_rank": 4, "optimizer": "muon"}, "set optimizer=adamw, or lora_rank=0"),
    ],
)
def test_invalid_config_error_names_the_problem(step, wrong, named):
    with pytest.raises(ValidationError, match=named):
        step.Config(corpus="c", tokenizer="t", **wrong)


def test_saved_checkpoint_opens_with_the_same_digest(pretrained):
    assert open_artifact(pretrained.path, "checkpoint").digest == pretrained.digest
