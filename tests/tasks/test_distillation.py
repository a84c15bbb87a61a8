"""A teacher's part in the loss, and that the teacher itself stays what and where it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.store import Store
from artifacts.tokenizer import Tokenizer
from models.chance import generator_of
from models.config import Architecture, ModelConfig
from models.torch.objectives import choices, function_of
from models.torch.torch_network import TorchNetwork
from steps.step import load_step
from tasks import load
from tasks.classification.task import TASK
from tasks.distillation import Lesson, lesson_of
from tasks.masked_lm.task import TASK as MASKED_LM
from tasks.model import Model, load_model
from tasks.training import ABOUT
from tasks.why.rows import _lesson_of, _losses
from tests import small_training
from tests.networks import ask, new_network
from tests.small_corpus import make_corpus, make_tokenizer, train
from tests.small_images import digits
from tests.small_pairs import make_pairs, pairs
from tests.small_spans import make_marked
from training.errors import TrainingError
from training.options import TrainingOptions
from training.torch.backend import TorchBackend
from training.update_log import Entry

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


def new_lesson(task, config, settings, temperature=2.0, soft_share=0.7, seed=1):
    """A lesson from an untrained network of the same config."""
    network = new_network(task, config, settings, seed=seed)
    return Lesson(Model(network, Tokenizer.none(), config, task.name, dict(settings)), temperature, soft_share)


def classified(inputs, config, rows=12):
    """Settings, and the question of a batch."""
    corpus, tokenizer = Corpus(inputs["corpus"]), Tokenizer(inputs["tokenizer"].path)
    settings = TASK.settings(corpus, {})
    batch = TASK.examples(corpus, tokenizer, "train", settings, config).batch(np.arange(rows))
    return settings, ask(TASK, config, batch, settings, training=True)


@pytest.fixture(scope="module")
def learnable(tmp_path_factory):
    """A function that gives task, config, settings and a training batch's question, of a task whose loss is by choices."""

    def of(name, **options):
        root, task = tmp_path_factory.mktemp(name), load(name)
        if name == "image_classification":
            corpus, tokenizer = digits(root), Tokenizer.none()
            chosen = Architecture(
                preset="vit", patch_size=4, d_model=16, d_ff=32, num_heads=2, num_layers=1, dropout=0.0
            )
        else:
            corpora = {
                "seq2seq": lambda: make_pairs(root, pairs(120)),
                "token_classification": lambda: make_marked(root),
            }
            corpus = corpora.get(name, lambda: make_corpus(root))()
            tokenizer = Tokenizer(make_tokenizer(root, corpus, 300).path)
            chosen = Architecture(d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=32, dropout=0.0)
        settings = task.settings(Corpus(corpus), options)
        config = task.config(chosen, tokenizer, settings)
        batch = task.examples(Corpus(corpus), tokenizer, "train", settings, config).batch(np.arange(8))
        return task, config, settings, ask(task, config, batch, settings, training=True)

    return of


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(1, keepdims=True)


def formula(mine, theirs, labels, temperature, share):
    """The loss of each answer, from logits."""
    p, q = softmax(theirs / temperature), softmax(mine / temperature)
    soft = temperature**2 * (p * np.log(p / q)).sum(1)
    hard = -np.log(softmax(mine)[np.arange(len(mine)), labels])
    return share * soft + (1 - share) * hard


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (2.0, 0.7), (4.0, 0.25), (2.0, 0.0)])
def test_distillation_loss_matches_formula(inputs, config, temperature, share):
    settings, question = classified(inputs, config)
    network, lesson = new_network(TASK, config, settings), new_lesson(TASK, config, settings, temperature, share)
    mine, theirs = (n.logits(question) for n in (network, lesson.teacher.network))
    expected = formula(mine, theirs, question.labels, temperature, share)
    terms = lesson.teach(TASK.objective(settings))(network.module.train(), question)
    assert terms.each.requires_grad
    np.testing.assert_allclose(terms.each.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert terms.rows.tolist() == list(range(len(question.labels)))
    backend = TorchBackend(
        network, lesson.teach(TASK.objective(settings), always=True), TrainingOptions(seed=1, weight_decay=0.0)
    )
    rows = backend.row_losses(question)
    np.testing.assert_allclose(rows.total, expected, rtol=1e-4, atol=1e-5)
    assert rows.targets.tolist() == [1] * len(question.labels)
    assert backend.update([question], 0, 0.0).loss == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.parametrize("name", ["causal_lm", "seq2seq", "token_classification", "image_classification"])
def test_every_task_with_choice_loss_can_learn_from_teacher(learnable, name):
    """The formula at each place; the student becomes more like its teacher."""
    task, config, settings, question = learnable(name)
    network, lesson = new_network(task, config, settings), new_lesson(task, config, settings, soft_share=1.0)
    mine, theirs = (n.logits(question) for n in (network, lesson.teacher.network))
    assert len(mine) == len(question.labels) > 4
    expected = formula(mine, theirs, question.labels, 2.0, 1.0)
    objective = lesson.teach(task.objective(settings), always=True)
    backend = TorchBackend(network, objective, TrainingOptions(seed=1, weight_decay=0.0))
    rows = backend.row_losses(question)
    assert rows.targets.tolist() == question.targets.tolist()
    size = question.batch_size
    np.testing.assert_allclose(rows.total, np.bincount(question.rows, expected, size), rtol=1e-3, atol=1e-4)
    for number in range(30):
        backend.update([question], number, 1e-2)
    assert backend.row_losses(question).total.sum() < 0.7 * rows.total.sum()


@pytest.mark.parametrize("name", ["causal_lm", "seq2seq", "token_classification", "image_classification"])
def test_zero_soft_share_gives_plain_task_loss(learnable, name):
    task, config, settings, question = learnable(name)
    network, lesson = new_network(task, config, settings), new_lesson(task, config, settings, soft_share=0.0)
    own, with_teacher = function_of(task.objective(settings)), lesson.teach(task.objective(settings))
    module = network.module.train()
    torch.testing.assert_close(with_teacher(module, question).each, own(module, question).each)


def test_hard_loss_uses_label_smoothing(learnable):
    task, config, settings, question = learnable("seq2seq")
    network, lesson = new_network(task, config, settings), new_lesson(task, config, settings, soft_share=0.0)
    with_teacher = replace(lesson, label_smoothing=0.2).teach(task.objective(settings))
    module = network.module.train()
    expected = choices(module, question, label_smoothing=0.2).each
    torch.testing.assert_close(with_teacher(module, question).each, expected)


def test_student_equal_to_teacher_has_zero_loss(inputs, config):
    settings, question = classified(inputs, config)
    network, lesson = new_network(TASK, config, settings, seed=1), new_lesson(TASK, config, settings, soft_share=1.0)
    loss = lesson.teach(TASK.objective(settings))(network.module.train(), question).each.sum()
    assert abs(float(loss.detach())) < 1e-5
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in network.module.parameters() if p.grad is not None) < 1e-5


def test_evaluation_uses_hard_loss_unless_teacher_is_always_used(inputs, config):
    settings, question = classified(inputs, config)
    network, lesson = new_network(TASK, config, settings), new_lesson(TASK, config, settings)
    objective = TASK.objective(settings)
    evaluated, hard, always = (
        TorchBackend(network, one, TrainingOptions(seed=1, weight_decay=0.0)).row_losses(question).total
        for one in (lesson.teach(objective), objective, lesson.teach(objective, always=True))
    )
    np.testing.assert_array_equal(evaluated, hard)
    assert not np.allclose(always, hard)


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_teacher_and_student_see_same_masked_words(inputs, config, masking):
    task, corpus = MASKED_LM, Corpus(inputs["corpus"])
    settings = task.settings(corpus, {"masking": masking})
    examples = task.examples(corpus, Tokenizer(inputs["tokenizer"].path), "train", settings, config)
    lesson = new_lesson(task, config, task.settings(corpus, {"mask_share": 0.5, "masking": "dynamic"}), soft_share=1.0)
    network = new_network(task, config, settings, seed=1)
    question = ask(task, config, examples.batch(np.arange(8)), settings, training=True)
    terms = lesson.teach(task.objective(settings))(network.module.train(), question)
    assert abs(float(terms.each.detach().sum())) < 1e-4, "the same network, asked the same, says the same"
    assert len(terms.each) == len(question.labels) > 0


def test_teacher_is_neither_trained_nor_part_of_student(inputs, config):
    settings, question = classified(inputs, config)
    network, lesson = new_network(TASK, config, settings), new_lesson(TASK, config, settings)
    teacher = lesson.teacher.network
    assert isinstance(teacher, TorchNetwork)
    before = teacher.weights()
    backend = TorchBackend(network, lesson.teach(TASK.objective(settings)), TrainingOptions(seed=1, weight_decay=0.1))
    losses = [backend.update([question], number, 1e-2).loss for number in range(30)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(np.array_equal(before[name], value) for name, value in teacher.weights().items())
    assert all(p.grad is None for p in teacher.module.parameters())
    assert not teacher.module.training
    assert backend.weights().keys() == new_network(TASK, config, settings).weights().keys()


def test_resumed_training_matches_uninterrupted_training(tmp_path):
    config = small_training.CONFIG

    def backend():
        settings = {"masking": "static"}
        lesson, network = new_lesson(MASKED_LM, config, settings), new_network(MASKED_LM, config, settings)
        return TorchBackend(
            network, lesson.teach(MASKED_LM.objective(settings)), TrainingOptions(seed=3, weight_decay=0.01)
        )

    whole = small_training.train(tmp_path / "whole", chosen=backend())
    broken = small_training.Hooked(backend(), small_training.raising_at(13))
    with pytest.raises(RuntimeError, match="power cut"):
        small_training.train(tmp_path / "broken", chosen=broken)
    assert small_training.same(whole, small_training.train(tmp_path / "broken", chosen=backend()))


def test_finetune_step_accepts_teacher(root, inputs, teacher):
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


def test_pretrain_step_accepts_teacher(root, inputs):
    large = train(root / "large", "pretrain", inputs, d_model=32)
    small = train(root / "small", "pretrain", {**inputs, "teacher": large}, options={"masking": "static"})
    assert Checkpoint(small).task == "masked_lm"
    assert small.digest != train(root / "plain", "pretrain", inputs, options={"masking": "static"}).digest


def test_unsuitable_teacher_is_refused(root, inputs, teacher, config):
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


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("electra", {}),
        ("retrieval", {"temperature": 0.05, "symmetric": True, "projection": 0}),
        ("masked_lm", {"nsp": True}),
    ],
)
def test_teacher_is_refused_for_losses_other_than_choices(inputs, teacher, config, name, settings):
    tokenizer, chosen = Tokenizer(inputs["tokenizer"].path), pretrain.Config(corpus="c")
    with pytest.raises(
        TrainingError, match=f"{name} with these options cannot be trained with a teacher; leave out the input"
    ):
        lesson_of(load(name), Checkpoint(teacher), tokenizer, config, settings, chosen)


def test_why_command_recomputes_losses_with_teacher(root, inputs, teacher):
    home = root / "why"
    artifact = train(home, "finetune", {**inputs, "teacher": teacher}, from_scratch=True)
    student, about = Checkpoint(artifact), json.loads(artifact.sidecar(ABOUT).read_text())
    lesson = _lesson_of(about, Store(home))
    assert (lesson.temperature, lesson.soft_share) == (2.0, 0.7)
    assert _lesson_of({**about, "lesson": None}, Store(home)) is None
    config, settings = ModelConfig(**about["model"]), about["settings"]
    examples = TASK.examples(Corpus(inputs["corpus"]), student.tokenizer, "train", settings, config).take(np.arange(6))
    question = TASK.ask(config, settings, examples.batch(np.arange(6)), generator_of(0), training=False)
    mine, theirs = (load_model(one).network.logits(question) for one in (student, Checkpoint(teacher)))
    entry = Entry(1, 0.0, 0.0, 0.0, 0.0, "", "", examples.ids, [0] * 6)
    losses = _losses(examples, about, student.weights(), entry, Store(home))
    np.testing.assert_allclose(losses.total, formula(mine, theirs, question.labels, 2.0, 0.7), rtol=1e-3, atol=1e-4)
    hard = _losses(examples, {**about, "lesson": None}, student.weights(), entry, Store(home))
    np.testing.assert_allclose(hard.total, formula(mine, theirs, question.labels, 1.0, 0.0), rtol=1e-3, atol=1e-4)
