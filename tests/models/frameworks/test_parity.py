"""Each framework's networks and updates against PyTorch's: the same names, numbers, gradients and masks.

Tolerances are those of float32: sums of a few thousand products in another order differ by some 1e-7 of their size.
"""

import sys

import numpy as np
import pytest
import torch

from models.config import ModelConfig
from models.devices import Compute
from models.network import Part
from models.question import Objective, ask_places, text_inputs
from models.torch.objectives import function_of, sum_by_row
from models.torch.torch_network import TorchNetwork
from tests.models.frameworks.cases import CASES, LABELS, VOCABULARY
from training.frameworks import build_backend, build_network
from training.options import TrainingOptions

pytestmark = pytest.mark.frameworks
FRAMEWORKS = ("flax", "tensorflow")
RATE = 1e-3


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    return request.param


def networks_of(case, framework):
    """PyTorch's and the framework's, with equal weights."""
    made = []
    for name in ("torch", framework):
        network = build_network(case.parts, case.config, None, Compute(framework=name))
        network.load_weights(case.weights())
        made.append(network)
    return made


def backends_of(case, framework, **options):
    """Both with a training of these options."""
    chosen = TrainingOptions(**{"learning_rate": RATE, "shards": 2, **options})
    return [build_backend(network, case.objective, chosen) for network in networks_of(case, framework)]


def gradients_of(network: TorchNetwork, case, question):
    """PyTorch's loss and gradients, by name."""
    module = network.module.train()
    loss = function_of(case.objective)(module, question).each.sum()
    named = dict(module.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return loss.item(), {
        name: np.zeros(tuple(parameter.shape), np.float32) if gradient is None else gradient.numpy()
        for (name, parameter), gradient in zip(named.items(), found, strict=True)
    }


def without_constants(weights, config):
    """Softmax sees no constant, so the gradient of keys' biases is 0 and Adam divides rounding errors by rounding errors; likewise
    the bias of the scores by which a sequence is pooled."""
    heads, width = config.num_heads * config.head_width, config.kv_heads * config.head_width
    kept = {name: value for name, value in weights.items() if not name.endswith("pool.score.bias")}
    for name in kept:
        if name.endswith("attention.qkv.bias"):
            kept[name] = np.delete(weights[name], slice(heads, heads + width))
        elif name.endswith("cross.key_value.bias"):
            kept[name] = weights[name][width:]
    return kept


def assert_same_updates(ours, theirs, config, *, within):
    one, other = (without_constants(backend.weights(), config) for backend in (ours, theirs))
    assert one.keys() == other.keys()
    for name, value in one.items():
        difference = np.abs(value - other[name])
        assert difference.max() <= within, name
        assert difference.mean() <= within / 10, name


@pytest.mark.parametrize("name", CASES)
def test_parameters_have_the_checkpoints_names_shapes_and_start(framework, name):
    case = CASES[name]
    network = build_network(case.parts, case.config, 3, Compute(framework=framework))
    weights = network.weights()
    assert {key: value.shape for key, value in weights.items()} == case.expected
    expected = build_network(case.parts, case.config, 3).weights()
    for key, value in weights.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)
        assert value.dtype == np.float32


@pytest.mark.parametrize("name", CASES)
def test_logits_and_losses_agree_with_torch(framework, name):
    case = CASES[name]
    reference, network = networks_of(case, framework)
    for number, rows in ((0, 5), (1, 2)):
        question = case.question(number, rows)
        if case.kind == "pairs":
            np.testing.assert_allclose(network.vectors(question.inputs), reference.vectors(question.inputs), atol=1e-5)
            continue
        np.testing.assert_allclose(network.logits(question), reference.logits(question), atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(network.nats(question), reference.nats(question), rtol=1e-5, atol=1e-6)
    losses = [
        build_backend(one, case.objective, TrainingOptions()).row_losses(question) for one in (network, reference)
    ]
    np.testing.assert_allclose(losses[0].total, losses[1].total, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(losses[0].targets, losses[1].targets)


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_torch(framework, name):
    case = CASES[name]
    reference, network = networks_of(case, framework)
    question = case.question()
    expected_loss, expected = gradients_of(reference, case, question)
    loss, gradients = build_backend(network, case.objective, TrainingOptions()).gradients(question)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    whole = np.sqrt(sum(float((value**2).sum()) for value in expected.values()))
    expected, found = (without_constants(one, case.config) for one in (expected, gradients))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        error = np.linalg.norm(found[key] - value)
        assert error <= 1e-5 * np.linalg.norm(value) + 1e-7 * whole, key


@pytest.mark.parametrize("name", CASES)
def test_weights_after_updates_agree_with_torch(framework, name):
    case = CASES[name]
    ours, theirs = backends_of(case, framework)
    for number in range(20):
        shards = [case.question(number % 2), case.question(2 + number % 2, rows=3)]
        done, expected = (backend.update(shards, number, RATE) for backend in (ours, theirs))
        assert done.targets == expected.targets
        assert done.loss == pytest.approx(expected.loss, rel=1e-6 if number == 0 else 1e-4)
        assert done.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-5 if number == 0 else 1e-2)
        if number == 0:
            assert_same_updates(ours, theirs, case.config, within=RATE / 20)
    assert_same_updates(ours, theirs, case.config, within=RATE)


@pytest.mark.parametrize(
    "options",
    [
        {"label_smoothing": 0.1},
        {"ema": 0.9},
        {"layer_decay": 0.5, "weight_decay": 0.5},
        {"freeze_layers": 1},
        {"clip": 0.01},
    ],
    ids=str,
)
def test_options_of_training_mean_the_same_as_in_torch(framework, options):
    case = CASES["roberta"]
    ours, theirs = backends_of(case, framework, **options)
    for number in range(3):
        done, expected = (backend.update([case.question(number)], number, RATE) for backend in (ours, theirs))
        assert done.loss == pytest.approx(expected.loss, rel=1e-5)
    assert_same_updates(ours, theirs, case.config, within=RATE / 5)
    with ours.average(), theirs.average():
        assert_same_updates(ours, theirs, case.config, within=RATE / 5)


def test_state_of_the_optimizer_goes_from_framework_to_framework(framework):
    """Three updates here and three there, in both directions, are six anywhere."""
    case = CASES["bert"]
    for first, second in ((0, 1), (1, 0)):
        mixed, whole = backends_of(case, framework, ema=0.9), backends_of(case, framework, ema=0.9)[first]
        for number in range(6):
            if number == 3:
                assert mixed[first].optimizer().keys() >= {
                    f"{name}/{part}" for name in case.expected for part in ("exp_avg", "exp_avg_sq", "step", "average")
                }
                mixed[second].load_weights(mixed[first].weights())
                mixed[second].load_optimizer(mixed[first].optimizer())
            mixed[first if number < 3 else second].update([case.question(number)], number, RATE)
            whole.update([case.question(number)], number, RATE)
        assert_same_updates(mixed[second], whole, case.config, within=RATE / 2)


def test_training_resumes_with_the_same_bytes(framework):
    case = CASES["gpt2"]
    config = case.config.with_changes({"dropout": 0.2, "attention_dropout": 0.2, "layer_dropout": 0.1})
    options = TrainingOptions(learning_rate=RATE, seed=4)

    def start():
        network = build_network(case.parts, config, 1, Compute(framework=framework))
        return build_backend(network, case.objective, options)

    whole, before, after = start(), start(), start()
    for number in range(6):
        whole.update([case.question(number)], number, RATE)
    for number in range(3):
        before.update([case.question(number)], number, RATE)
    after.load_weights(before.weights())
    after.load_optimizer(before.optimizer())
    for number in range(3, 6):
        after.update([case.question(number)], number, RATE)
    for name, value in whole.weights().items():
        assert value.tobytes() == after.weights()[name].tobytes(), name


def test_dropout_differs_by_update_and_shard_and_is_off_in_evaluation(framework):
    case = CASES["bert"]
    config = case.config.with_changes({"dropout": 0.3, "attention_dropout": 0.3})
    network = build_network(case.parts, config, 1, Compute(framework=framework))
    backend = build_backend(network, case.objective, TrainingOptions(seed=4))
    question = case.question()
    losses = [backend.update([question], number, 0.0).loss for number in (0, 1, 0)]
    assert losses[0] != losses[1]
    assert losses[0] == losses[2]
    assert backend.update([question, question], 0, 0.0).loss != losses[0]
    plain = build_backend(networks_of(CASES["bert"], framework)[1], case.objective, TrainingOptions())
    plain.load_weights(backend.weights())
    np.testing.assert_array_equal(backend.row_losses(question).total, plain.row_losses(question).total)


def test_update_that_is_not_finite_leaves_the_weights(framework):
    case = CASES["gpt2"]
    _, backend = backends_of(case, framework)
    weights = case.weights()
    weights["decoder.final_norm.weight"][:] = np.inf
    backend.load_weights(weights)
    done = backend.update([case.question()], 0, RATE)
    assert not np.isfinite(done.loss)
    for name, value in backend.weights().items():
        np.testing.assert_array_equal(value, weights[name], err_msg=name)


@pytest.mark.parametrize(
    ("part", "changes", "reach"),
    [
        ("Decoder", {"preset": "gpt2"}, (9, 0)),
        ("Decoder", {"preset": "llama"}, (9, 0)),
        ("Decoder", {"positions": "alibi", "window": 3}, (4, 0)),
        ("Encoder", {"preset": "roberta"}, (9, 9)),
        ("Encoder", {"positions": "relative", "window": 3}, (2, 2)),
    ],
    ids=str,
)
def test_masks_let_no_gradient_through(framework, part, changes, reach):
    """Each place of a text has a token of its own: gradients of their vectors say which places an answer saw."""
    config = ModelConfig(
        **{"d_model": 32, "d_ff": 32, "num_heads": 4, "num_layers": 2, "max_length": 24, "dropout": 0.0, **changes,
           "vocab_size": VOCABULARY}
    )  # fmt: skip
    name = part.lower()
    parts = {name: Part(part), "classifier": Part("TokenClassifier", {"num_tags": LABELS})}
    network = build_network(parts, config, 2, Compute(framework=framework))
    ids, mask = np.arange(20, 32)[None].copy(), np.arange(12)[None] < 10
    ids[~mask] = 0
    wanted = np.arange(12)[None] == 5
    question = ask_places(text_inputs(ids, mask), wanted, np.ones_like(ids))
    backend = build_backend(network, Objective(), TrainingOptions())
    _, gradients = backend.gradients(question)
    seen = np.flatnonzero(np.abs(gradients[f"{name}.embedding.tokens.weight"]).sum(1))
    before, after = reach
    first, last = max(0, 5 - before), min(9, 5 + after)
    assert seen.tolist() == [20 + place for place in range(first, last + 1)]


def test_attention_agrees_with_torch(framework):
    for name, part in (("bert", "encoder"), ("llama", "decoder"), ("t5", "decoder"), ("t5", "memory")):
        reference, network = networks_of(CASES[name], framework)
        assert network.attends(part) is reference.attends(part) is True
        inputs = CASES[name].question().inputs
        for ours, theirs in zip(network.attention(inputs, part), reference.attention(inputs, part), strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not networks_of(CASES["bert"], framework)[1].attends("decoder")


def test_few_shapes_are_compiled(framework):
    case = CASES["roberta"]
    _, backend = backends_of(case, framework)
    for number in range(12):
        backend.update([case.question(number, rows=3 + number % 2)], number, RATE)
    assert backend.compiled_shapes <= 6
    assert backend.compile_seconds > 0


def test_rows_and_losses_do_not_depend_on_padding(framework):
    case = CASES["roberta"]
    _, network = networks_of(case, framework)
    question = case.question()
    whole = network.logits(question)
    apart = [network.logits(question.part(slice(row, row + 1))) for row in range(question.batch_size)]
    np.testing.assert_allclose(whole, np.concatenate(apart), atol=1e-5)


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_checkpoint_with_a_tensor_more_or_less_is_refused(framework, change):
    case = CASES["bert"]
    _, network = networks_of(case, framework)
    weights, name = case.weights(), "encoder.layers.1.attention.output.bias"
    if change == "missing":
        del weights[name]
    elif change == "left over":
        weights[name := "encoder.more.weight"] = np.zeros(3, np.float32)
    else:
        weights[name] = weights[name][1:]
    with pytest.raises(ValueError, match=name):
        network.load_weights(weights)


def test_sums_by_row_are_of_the_real_rows(framework):
    case = CASES["bert"]
    reference, network = networks_of(case, framework)
    question = case.question(rows=5)
    with torch.no_grad():
        expected = sum_by_row(function_of(Objective())(reference.module.eval(), question), 5).numpy()
    found = build_backend(network, Objective(), TrainingOptions()).row_losses(question)
    assert found.total.shape == (5,)
    np.testing.assert_allclose(found.total, expected, rtol=1e-5)
    assert sys.modules[framework if framework == "tensorflow" else "jax"]
