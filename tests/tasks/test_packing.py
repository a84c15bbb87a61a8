"""Several texts in a row: each is answered as if it were alone, whatever the positions, and tasks that cannot say so."""

import numpy as np
import pytest
import torch

from models.config import ModelConfig
from models.question import Question
from tasks import available, load
from tasks.packing import check, pack
from tests.networks import ask, new_network, row_losses
from tests.pretend_device import pretend_cuda
from tests.small_training import Recording
from training.batches import Examples
from training.errors import TrainingError
from training.options import TrainingOptions
from training.packing import Blocks

SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 4, "num_layers": 2, "max_length": 24, "vocab_size": 40}
KINDS = {
    "learned": {"positions": "learned"},
    "sinusoidal": {"positions": "sinusoidal", "norm": "post", "scale_embeddings": True},
    "rope": {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "bias": False, "num_kv_heads": 2},
    "alibi": {"positions": "alibi"},
    "relative": {"positions": "relative", "relative_buckets": 8, "relative_distance": 8},
    "none": {"positions": "none"},
    "window": {"positions": "rope", "window": 3, "global_every": 2, "window_rope_base": 100.0},
    "window, alibi": {"positions": "alibi", "window": 4},
    "window, relative": {"positions": "relative", "window": 4, "share_layers": True, "num_layers": 2},
}
TASKS = ("causal_lm", "masked_lm")

pytestmark = pytest.mark.usefixtures("one_thread")


def texts(count=14, seed=0):
    draw = np.random.default_rng(seed)
    rows = [[2, *draw.integers(5, 40, size).tolist(), 3] for size in draw.integers(1, 12, count)]
    return Examples.of(rows, [f"row{i}" for i in range(count)], 0)


def network_of(name, kind, **changes):
    more = {"bigram_buckets": 50, "unpadding": True} if name == "masked_lm" else {}
    config = ModelConfig(**SMALL | KINDS[kind] | more | changes)
    network = new_network(load(name), config)
    with torch.no_grad():
        for parameter in network.module.parameters():  # pairs and relative positions that do something
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network


def packed(examples, width=SMALL["max_length"]):
    blocks = Blocks.pack(examples, width, 1)
    rows = np.arange(len(blocks))
    batch = blocks.batch(rows)
    assert batch.documents is not None
    assert not batch.attention_mask.all(), "there is padding as well"
    return blocks, rows, batch


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TASKS)
def test_logits_of_a_text_in_a_block_are_those_of_the_text_alone(name, kind):
    network, examples = network_of(name, kind), texts()
    blocks, rows, batch = packed(examples)
    width = batch.input_ids.shape[1]
    places = np.flatnonzero(batch.documents)
    inputs = {"input_ids": batch.input_ids, "documents": batch.documents}
    found = network.logits(Question(inputs, places, np.zeros(0, np.int64), places // width))
    number, empty = batch.documents.reshape(-1)[places], np.zeros(0, np.int64)
    for row, those in enumerate(blocks.members(rows)):
        for place, text in enumerate(those, 1):
            ids = examples.inputs[text].astype(np.int64)
            own = np.arange(len(ids))
            alone = network.logits(Question({"input_ids": ids[None]}, own, empty, np.zeros_like(own)))
            np.testing.assert_allclose(found[(places // width == row) & (number == place)], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TASKS)
def test_losses_of_blocks_add_up_to_those_of_padded_rows(name, kind):
    task, network, examples = load(name), network_of(name, kind), texts()
    blocks, rows, batch = packed(examples)
    apart = ask(task, network.config, examples.batch(np.concatenate(blocks.members(rows))))
    together = ask(task, network.config, batch)
    assert sorted(together.labels) == sorted(apart.labels)
    found, expected = row_losses(task, network, together), row_losses(task, network, apart)
    ends = np.cumsum([len(those) for those in blocks.members(rows)])[:-1]
    assert found.targets.tolist() == [own.sum() for own in np.split(expected.targets, ends)]
    of_rows = [own.sum() for own in np.split(expected.total, ends)]
    np.testing.assert_allclose(found.total, of_rows, rtol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_a_text_has_no_gradient_in_the_others_of_its_block(name):
    network, examples = network_of(name, "relative", bigram_buckets=0, dropout=0.2), texts()
    _, _, batch = packed(examples)
    trunk = getattr(network.module.train(), "decoder" if name == "causal_lm" else "encoder")
    vectors = trunk.embedding.tokens(torch.from_numpy(batch.input_ids)).detach().requires_grad_()
    trunk.embedding.tokens.forward = lambda _: vectors
    hidden = trunk(torch.from_numpy(batch.input_ids), documents=torch.from_numpy(batch.documents))
    of_second = torch.from_numpy(batch.documents == 2)
    (gradient,) = torch.autograd.grad(hidden[of_second].square().sum(), vectors)
    assert torch.equal(gradient.abs().sum(-1) > 0, of_second)


@pytest.mark.parametrize("name", TASKS)
def test_blocks_on_another_device_are_answered_as_on_the_cpu(name):
    from models.devices import Compute
    from tasks.model import build

    task, config, examples = load(name), ModelConfig(**SMALL | KINDS["window"]), texts()
    question = ask(task, config, packed(examples)[2])
    expected = build(task, config, {}, 3).nats(question)
    with pretend_cuda():
        found = build(task, config, {}, 3, Compute("cuda")).nats(question)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_pack_counts_padding_with_and_without_blocks():
    observe = Recording()
    options = TrainingOptions(batch_tokens=96, packing=True)
    blocks, counts = pack(texts(200), ModelConfig(**SMALL), options, observe)
    assert counts["texts"] == 200
    assert counts["blocks"] == len(blocks) < 100
    assert 0 <= counts["padding_share"] < 0.01 < counts["padding_share_apart"]
    ((level, message),) = observe.of("training.packed")
    assert level == "info"
    assert message.startswith(f"200 texts in {len(blocks)} blocks of up to 24 tokens: ")


def test_batch_of_fewer_blocks_than_shards_is_warned_about():
    observe = Recording()
    pack(texts(), ModelConfig(**SMALL), TrainingOptions(batch_tokens=64, packing=True), observe)
    _, (level, message) = observe.of("training.packed")
    assert level == "warning"
    assert "batch_tokens=64 holds 2 of these blocks, for 4 shards" in message
    assert message.endswith("set batch_tokens=96 or more")


@pytest.mark.parametrize("name", sorted(set(available()) - set(TASKS)))
def test_tasks_that_ask_about_a_whole_row_refuse_packing(name):
    with pytest.raises(TrainingError, match=f"packing is for language models: {name} .*: set packing=false"):
        check(load(name), ModelConfig(**SMALL), {})


@pytest.mark.parametrize(
    ("name", "changes", "settings", "message"),
    [
        ("causal_lm", {"network": "recurrent"}, {}, "this network=recurrent has none: set packing=false"),
        ("masked_lm", {}, {"masking": "static", "nsp": True}, "leave out masking, nsp, or else: set packing=false"),
        ("masked_lm", {}, {"causal_share": 0.1}, "leave out causal_share, or else: set packing=false"),
    ],
)
def test_network_and_options_without_blocks_refuse_packing(name, changes, settings, message):
    with pytest.raises(TrainingError, match=message):
        check(load(name), ModelConfig(**SMALL | changes), settings)
