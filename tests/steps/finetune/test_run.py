"""Fine-tuning has the network of its checkpoint: what fits no trained weight is refused, and all bundled pipelines fit."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from artifacts.errors import UserError
from models.config import ModelConfig
from pipelines import graph
from steps.finetune.config import Config
from steps.finetune.run import _network_of

START = SimpleNamespace(config=ModelConfig(d_model=64, dropout=0.1, num_layers=2).model_dump())
BUNDLED = [path for folder in ("pipelines", "tests/pipelines") for path in sorted(Path(folder).glob("*.yaml"))]


def network_of(start=START, **options):
    return _network_of(start, Config(corpus="c", tokenizer="t", checkpoint="p", **options))


def test_network_is_that_of_the_checkpoint_and_dropout_that_of_the_config():
    network = network_of(dropout=0.3)
    assert network == ModelConfig(d_model=64, dropout=0.3, num_layers=2)
    assert network_of(d_model=64, num_layers=2) == network.with_changes({"dropout": 0.0}), "said again"


def test_choices_on_which_no_trained_weight_depends_are_taken():
    for anew in ({"attention_dropout": 0.2, "layer_dropout": 0.1, "pooling": "max"}, {"unpadding": True}):
        assert network_of(**anew) == ModelConfig(d_model=64, num_layers=2, **anew)
    skipping = SimpleNamespace(config=START.config | {"layer_dropout": 0.1})
    with pytest.raises(UserError, match="unpadding=true has no rows that could skip a layer: set layer_dropout=0"):
        network_of(skipping, unpadding=True)


@pytest.mark.parametrize("choice", [{"d_model": 256}, {"num_layers": 3}, {"bigram_buckets": 100}, {"positions": "rope"},
                                    {"preset": "bert"}])  # fmt: skip
def test_choices_that_trained_weights_have_made_are_refused(choice):
    [(name, value)] = choice.items()
    with pytest.raises(
        UserError, match=rf"{name}={value}: a fine-tuning takes its network from the checkpoint"
    ) as told:
        network_of(**choice)
    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("path", BUNDLED, ids=str)
def test_bundled_pipelines_choose_nothing_that_a_checkpoint_has(path):
    for pipeline in graph.load(str(path)):
        for node in pipeline.nodes.values():
            if node.step == "finetune" and "checkpoint" in node.inputs:
                first = pipeline.nodes[node.inputs["checkpoint"]].checked_config()
                trained = {name: first[name] for name in ModelConfig.model_fields if name in first}
                _network_of(SimpleNamespace(config=trained), node.config_with({"checkpoint": "p", "corpus": "c"}))
