"""Every task's network on another device: all tensors follow it, and the numbers are those of the CPU."""

import numpy as np
import pytest
import torch

from models.chance import generator_of
from models.decoding import Alphabet, Decoding
from models.devices import Compute
from models.torch.decoding import requests
from models.torch.devices import full_precision, tensor_of, widen
from models.torch.rollout import patch_attention
from tasks import available, load
from tasks.model import build
from tests.pretend_device import DevicesMixedError, Elsewhere, pretend_cuda
from tests.test_seam import CONFIG, SETTINGS, batch_of
from training.batches import Batch
from training.options import TrainingOptions
from training.torch.backend import TorchBackend
from training.torch.distillation import distil

CUDA = Compute("cuda")
TRANSFORMERS = {
    "bert": {"norm": "post", "pooling": "cls", "bigram_buckets": 16},
    "modern": {"positions": "rope", "activation": "geglu", "window": 4, "global_every": 2, "unpadding": True},
    "albert": {"share_layers": True, "d_embedding": 4, "positions": "sinusoidal"},
    "alibi": {"positions": "alibi", "pooling": "max"},
    "t5": {"positions": "relative", "relative_buckets": 8, "norm_kind": "rms", "bias": False, "num_kv_heads": 1},
}
DECODERS = {name: {**changes, "bigram_buckets": 0} for name, changes in TRANSFORMERS.items()}
CELLS = {cell: {"network": "recurrent", "cell": cell} for cell in ("rnn", "lstm", "gru")}
ENCODERS = {**TRANSFORMERS, "lstm": CELLS["lstm"], "textcnn": {"network": "convolutional", "kernel_sizes": "1,3"}}
ALIGNED = {
    "bahdanau": {**CELLS["gru"], "alignment": "additive"},
    "luong": {**CELLS["lstm"], "alignment": "multiplicative"},
}
PICTURES = {
    "vit": {"positions": "sinusoidal", "pooling": "cls"},
    "cct": {"patch_size": 0, "convolutional_stem": True, "pooling": "sequence"},
    "resnet": {"network": "residual", "patch_size": 0, "num_layers": 3, "d_model": 16},
}
OF_TASK = {
    "causal_lm": DECODERS | CELLS,
    **dict.fromkeys(("electra", "masked_lm, nsp"), TRANSFORMERS),
    "image_classification": PICTURES,
    **dict.fromkeys(("seq2seq", "translation", "span_corruption"), DECODERS | ALIGNED),
}
CASES = [(name, family) for name in [*available(), "masked_lm, nsp"] for family in OF_TASK.get(name, ENCODERS)]
# The caches of all kinds of decoders; other tasks decode with the same networks.
DECODED = {("causal_lm", "modern"), ("causal_lm", "lstm"), ("seq2seq", "t5"), ("seq2seq", "bahdanau")}
SEARCHES = {
    "greedy": Decoding(max_new_tokens=3),
    "beam": Decoding(method="beam", beams=3, n_best=2, max_new_tokens=3),
    "sample": Decoding(method="sample", n_best=2, max_new_tokens=3, top_k=20, top_p=0.9, min_p=0.01, seed=1),
}


pytestmark = pytest.mark.usefixtures("one_thread")


class Answers:
    """All that a task asks of its network, on one device."""

    def __init__(self, name: str, family: str, compute: Compute) -> None:
        self.family = family
        self.task, self.settings = load(name.partition(",")[0]), SETTINGS.get(name, {})
        base, self.batch = batch_of(name)
        changes = {
            "initializer_std": 0.3,
            "max_length": 32,
            "d_model": 32 if name == "electra" else 8,
            **OF_TASK.get(name, ENCODERS)[family],
        }
        if self.settings.get("nsp"):
            changes["token_types"] = 2
        self.config = base.with_changes(changes)
        self.network = build(self.task, self.config, self.settings, 3, compute)

    def question(self, batch: Batch):
        return self.task.ask(self.config, self.settings, batch, generator_of(5), training=False)

    def all(self):
        question = self.question(self.batch)
        backend = TorchBackend(self.network, self.task.objective(self.settings), TrainingOptions())
        found = {"loss": backend.row_losses(question).total, **backend.weights()}
        if self.task.objective(self.settings).name == "contrast":
            return found | {"vectors": self.network.vectors(question.inputs)}
        found["logits"] = self.network.logits(question)
        if len(question.labels) and self.task.name != "electra":  # its choice is yes or no
            found["nats"] = self.network.nats(question)
        for part in ("encoder", "decoder", "memory"):
            if self.network.attends(part) and "pixels" not in question.inputs:
                found |= {f"{part} {i}": own for i, own in enumerate(self.network.attention(question.inputs, part))}
        if (
            "pixels" in question.inputs
            and (reached := patch_attention(self.network, question.inputs["pixels"])) is not None
        ):
            found["rollout"] = reached
        if (self.task.name, self.family) in DECODED:
            found |= self.decoded(question)
        return found

    def decoded(self, question):
        inputs = {name: value[:3] for name, value in question.inputs.items() if not name.startswith("target")}
        if "encoder" not in self.network.parts:  # prompts of mixed lengths
            inputs["attention_mask"] = self.batch.attention_mask[:3, : inputs["input_ids"].shape[1]]
        alphabet, found = Alphabet(3, (0, 1, 2, 4)), {}
        for kind, options in SEARCHES.items():
            rows = requests.decode(self.network, inputs, options, alphabet, 2)
            found[kind] = np.array([one.log_probability for row in rows for one in row])
            found[f"{kind}, tokens"] = np.array([token for row in rows for one in row for token in one.ids])
        first = {name: value[:1] for name, value in inputs.items()}
        found["stream"] = np.array(list(requests.stream(self.network, first, SEARCHES["sample"], alphabet, 2)))
        return found


@pytest.mark.parametrize(("name", "family"), CASES)
def test_network_on_another_device_answers_as_on_cpu(name, family):
    expected = Answers(name, family, Compute()).all()
    with pretend_cuda():
        answers = Answers(name, family, CUDA)
        assert answers.network.module.device.type == "cuda"
        found = answers.all()
    assert found.keys() == expected.keys()
    for what, value in expected.items():
        np.testing.assert_allclose(found[what], value, atol=2e-4, rtol=1e-3, err_msg=what)


@pytest.mark.parametrize(
    ("name", "family"),
    [("masked_lm", "modern"), ("causal_lm", "t5"), ("seq2seq", "luong"), ("image_classification", "cct")],
)
def test_bfloat16_on_another_device_stays_near_float32(name, family):
    """Of numbers of 8 bits: the loss of each row within 5 %."""
    expected = Answers(name, family, Compute()).all()["loss"]
    with pretend_cuda():
        found = Answers(name, family, Compute("cuda", "bfloat16")).all()["loss"]
    assert not np.array_equal(found, expected), "float32 after all"
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_teacher_and_student_share_their_device():
    def losses(compute):
        student, teacher = (Answers("masked_lm", family, compute) for family in ("bert", "albert"))
        objective = distil(student.task.objective({}), teacher.network, 2.0, 0.5, 0.1, always=True)
        backend = TorchBackend(student.network, objective, TrainingOptions())
        return backend.row_losses(student.question(student.batch)).total

    expected = losses(Compute())
    with pretend_cuda():
        np.testing.assert_allclose(losses(CUDA), expected, rtol=1e-4)


def test_network_in_training_keeps_dropout_masks_on_its_device():
    """With dropout of rows too; numbers differ, since each device draws its own."""
    with pretend_cuda():
        answers = Answers("masked_lm", "bert", CUDA)
        answers.config = answers.config.with_changes({"dropout": 0.2, "layer_dropout": 0.3})
        network = build(answers.task, answers.config, {}, 3, CUDA)
        backend = TorchBackend(network, answers.task.objective({}), TrainingOptions())
        with torch.no_grad():
            terms = backend._objective(network.module.train(), answers.question(answers.batch))
        assert terms.each.device.type == "cuda"
        assert np.isfinite(terms.each.cpu().numpy()).all()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_checkpoint_of_cpu_loads_on_another_device_and_back(optimizer):
    """Weights, moments and averages; the update after that has the same bytes."""
    options = TrainingOptions(optimizer=optimizer, ema=0.9)

    def backend(compute):
        answers = Answers("masked_lm", "bert", compute)
        return answers, TorchBackend(answers.network, answers.task.objective({}), options)

    answers, first = backend(Compute())
    question = answers.question(answers.batch)
    first.update([question], 0, 1e-2)
    weights, state = first.weights(), first.optimizer()
    with pretend_cuda():
        _, there = backend(CUDA)
        there.load_weights(weights)
        there.load_optimizer(state)
        moved = there.weights(), there.optimizer()
    for before, after in zip((weights, state), moved, strict=True):
        assert {name: value.tobytes() for name, value in after.items()} == {n: v.tobytes() for n, v in before.items()}
    _, back = backend(Compute())
    back.load_weights(moved[0])
    back.load_optimizer(moved[1])
    assert back.update([question], 1, 1e-2) == first.update([question], 1, 1e-2)


def test_one_tensor_left_on_cpu_raises():
    with pretend_cuda():
        there = tensor_of(np.ones(3, np.float32), torch.device("cuda"))
        assert isinstance(there, Elsewhere)
        assert (there + 1).tolist() == [2, 2, 2]
        with pytest.raises(DevicesMixedError, match=r"add.*on the CPU \[\(3,\)\]"):
            there + torch.ones(3)
        with pytest.raises(TypeError, match="cuda"):
            there.numpy()


def test_cuda_settings_are_deterministic():
    with pretend_cuda():
        build(load("masked_lm"), CONFIG, {}, 0, CUDA)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_float32_matmul_precision() == "high"
    assert not torch.are_deterministic_algorithms_enabled(), "undone"
    build(load("masked_lm"), CONFIG, {}, 0)
    assert not torch.are_deterministic_algorithms_enabled(), "the CPU has nothing to set"


def test_widen_keeps_double_precision():
    assert [widen(torch.ones(1, dtype=kind)).dtype for kind in (torch.bfloat16, torch.float32, torch.float64)] == [
        torch.float32, torch.float32, torch.float64,
    ]  # fmt: skip


def test_full_precision_suspends_autocast():
    x = torch.rand(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
    with full_precision(x.to("meta")):
        assert (x @ x).dtype == torch.float32
