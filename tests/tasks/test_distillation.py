"""A teacher's part in the loss, and that the teacher itself stays what and where it was."""

import numpy as np
import pytest
import torch

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from models.torch import initialize
from steps.step import load_step
from tasks import load
from tasks.classification.task import TASK
from tasks.distillation import Lesson, lesson_of
from tasks.electra.task import TASK as ELECTRA
from tasks.masked_lm.task import TASK as MASKED_LM
from tasks.model import Model
from tests import small_training
from tests.small_corpus import make_corpus, make_tokenizer, train
from training.errors import TrainingError
from training.torch.backend import TorchBackend

pretrain = load_step("pretrain")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("distillation")


@pytest.fixture(scope="module")
def inputs(root):
    corpus = make_corpus(root)
    return {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus)}


@pytest.fixture(scope="module")
def teacher(root, inputs):
    """A classifier that has learnt what it can."""
    options = {"from_scratch": True, "max_updates": 60, "learning_rate": 0.01, "d_model": 32, "evaluate_every": 30}
    return train(root / "teacher", "finetune", inputs, **options)


@pytest.fixture
def config(inputs):
    size = Tokenizer(inputs["tokenizer"].path).vocab_size
    return ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=32, vocab_size=size)


def made(task, config, settings, seed=0):
    network = task.network(config, settings)
    initialize(network, config.with_changes({"initializer_std": 0.3}), torch.Generator().manual_seed(seed))
    return network


def taught(task, config, settings, temperature=2.0, soft_share=0.7, seed=1):
    """A lesson from an untrained network of the same config."""
    network = made(task, config, settings, seed).eval().requires_grad_(False)
    return Lesson(task, Model(network, Tokenizer.none(), config, task.name, dict(settings)), temperature, soft_share)


def classified(inputs, config):
    corpus, tokenizer = Corpus(inputs["corpus"]), Tokenizer(inputs["tokenizer"].path)
    settings = TASK.settings(corpus, {})
    return settings, TASK.examples(corpus, tokenizer, "train", settings, config).batch(np.arange(12))


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (2.0, 0.7), (4.0, 0.25), (2.0, 0.0)])
def test_the_loss_is_that_of_the_formula(inputs, config, temperature, share):
    settings, batch = classified(inputs, config)
    network, given = made(TASK, config, settings).train(), taught(TASK, config, settings, temperature, share)
    mine, theirs = (TASK.choose(n, batch).logits.detach().double().numpy() for n in (network, given.teacher.network))

    def softmax(logits):
        powers = np.exp(logits)
        return powers / powers.sum(1, keepdims=True)

    p, q = softmax(theirs / temperature), softmax(mine / temperature)
    soft = temperature**2 * (p * np.log(p / q)).sum(1)
    hard = -np.log(softmax(mine)[np.arange(len(mine)), batch.labels])
    loss = given.loss(network, batch, seeded())
    assert float(loss.total.detach()) == pytest.approx((share * soft + (1 - share) * hard).sum(), rel=1e-5)
    assert loss.targets == len(batch.labels)
    rows = given.row_losses(network, batch, seeded())
    torch.testing.assert_close(rows.total.sum(), loss.total)
    assert rows.targets.tolist() == [1] * len(batch.labels)


def test_who_says_what_the_teacher_says_has_nothing_to_learn_from_it(inputs, config):
    settings, batch = classified(inputs, config)
    network, given = made(TASK, config, settings, seed=1).train(), taught(TASK, config, settings, soft_share=1.0)
    loss = given.loss(network, batch, seeded()).total
    assert abs(float(loss.detach())) < 1e-5
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None) < 1e-5


def test_an_evaluation_tells_the_hard_loss(inputs, config):
    settings, batch = classified(inputs, config)
    network, given = made(TASK, config, settings).eval(), taught(TASK, config, settings)
    assert torch.equal(given.loss(network, batch, seeded()).total, TASK.loss(network, batch, seeded()).total)


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_masked_words_are_asked_alike_of_both_whatever_the_teachers_masks_were(inputs, config, masking):
    task, corpus = MASKED_LM, Corpus(inputs["corpus"])
    settings = task.settings(corpus, {"masking": masking})
    examples = task.examples(corpus, Tokenizer(inputs["tokenizer"].path), "train", settings, config)
    given = taught(task, config, task.settings(corpus, {"mask_share": 0.5, "masking": "dynamic"}), soft_share=1.0)
    network = made(task, config, settings, seed=1).train()
    loss = given.loss(network, examples.batch(np.arange(8)), seeded())
    assert abs(float(loss.total.detach())) < 1e-4, "the same network, asked the same, says the same"
    assert loss.targets == task.loss(network, examples.batch(np.arange(8)), seeded()).targets


def test_the_teacher_is_neither_trained_nor_a_part_of_the_student(inputs, config):
    settings, batch = classified(inputs, config)
    network, given = made(TASK, config, settings), taught(TASK, config, settings)
    before = {name: p.clone() for name, p in given.teacher.network.named_parameters()}
    backend = TorchBackend(network, given.loss, seed=1, weight_decay=0.1, clip=1.0)
    losses = [backend.update(batch, number, 1e-2).loss for number in range(30)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(before[name], p) for name, p in given.teacher.network.named_parameters())
    assert all(p.grad is None for p in given.teacher.network.parameters())
    assert not given.teacher.network.training
    assert backend.weights().keys() == dict(made(TASK, config, settings).named_parameters()).keys()


def test_stopped_and_resumed_it_ends_with_the_same_bytes(tmp_path):
    config = small_training.CONFIG

    def backend():
        settings = {"masking": "static"}
        given, network = taught(MASKED_LM, config, settings), made(MASKED_LM, config, settings)
        return TorchBackend(network, given.loss, seed=3, weight_decay=0.01, clip=1.0)

    whole = small_training.train(tmp_path / "whole", chosen=backend())
    broken = small_training.Hooked(backend(), small_training.raising_at(13))
    with pytest.raises(RuntimeError, match="power cut"):
        small_training.train(tmp_path / "broken", chosen=broken)
    assert small_training.same(whole, small_training.train(tmp_path / "broken", chosen=backend()))


def test_a_step_takes_a_teacher(root, inputs, teacher):
    """Twice the same bytes, the teacher named among the parents, and not what the same training without it gives."""
    options = {"from_scratch": True, "max_updates": 12}
    students = [train(root / name, "finetune", {**inputs, "teacher": teacher}, **options) for name in ("one", "two")]
    alone = train(root / "alone", "finetune", inputs, **options)
    assert students[0].digest == students[1].digest != alone.digest
    assert students[0].manifest["parents"]["teacher"] == {"kind": "checkpoint", "digest": teacher.digest}
    student, other = Checkpoint(students[0]), Checkpoint(alone)
    assert student.weights().keys() == other.weights().keys()
    assert (student.config["d_model"], Checkpoint(teacher).config["d_model"]) == (16, 32)
    assert student.settings == other.settings


def test_pretraining_takes_one_too(root, inputs):
    large = train(root / "large", "pretrain", inputs, d_model=32)
    small = train(root / "small", "pretrain", {**inputs, "teacher": large}, options={"masking": "static"})
    assert Checkpoint(small).task == "masked_lm"
    assert small.digest != train(root / "plain", "pretrain", inputs, options={"masking": "static"}).digest


def test_a_teacher_that_cannot_teach_is_one_line(root, inputs, teacher, config):
    tokenizer, settings = Tokenizer(inputs["tokenizer"].path), {"labels": ["a", "b", "c"]}
    chosen = pretrain.Config(corpus="c")
    held = Checkpoint(teacher)
    with pytest.raises(TrainingError, match="trained for classification, cannot teach masked_lm"):
        lesson_of(load("masked_lm"), held, tokenizer, config, {}, chosen)
    with pytest.raises(TrainingError, match="knows other labels than this corpus has"):
        lesson_of(TASK, held, tokenizer, config, {"labels": ["b", "a", "c"]}, chosen)
    with pytest.raises(TrainingError, match="reads 32 tokens, the student 64; set max_length=32"):
        lesson_of(TASK, held, tokenizer, config.with_changes({"max_length": 64}), settings, chosen)
    with pytest.raises(TrainingError, match="trained with tokenizer"):
        lesson_of(TASK, held, Tokenizer.none(), config, settings, chosen)
    with pytest.raises(TrainingError, match="electra cannot be learnt from a teacher"):
        ELECTRA.ask(torch.nn.Module(), None, seeded())


def test_what_follows_is_not_taught(inputs, config):
    task, corpus = MASKED_LM, Corpus(inputs["corpus"])
    settings, wide = task.settings(corpus, {"nsp": True}), config.with_changes({"token_types": 2})
    batch = task.examples(corpus, Tokenizer(inputs["tokenizer"].path), "train", settings, wide).batch(np.arange(8))
    with pytest.raises(TrainingError, match="set nsp=false"):
        taught(task, wide, settings).loss(made(task, wide, settings).train(), batch, seeded())


def test_why_computes_the_losses_with_the_teacher(root, inputs, teacher):
    from artifacts.store import Store
    from tasks.training import ABOUT
    from tasks.why.rows import _losses_of

    student = train(root / "why", "finetune", {**inputs, "teacher": teacher}, from_scratch=True)
    import json

    about = json.loads(student.sidecar(ABOUT).read_text())
    found = _losses_of(TASK, about, Store(root / "why"))
    assert isinstance(found, Lesson)
    assert (found.temperature, found.soft_share) == (2.0, 0.7)
    assert _losses_of(TASK, {**about, "lesson": None}, Store(root)) is TASK
