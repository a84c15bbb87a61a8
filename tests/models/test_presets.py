"""Every preset is a network that can be built, and has as many parameters as its paper, or the paper's own code, says."""

import re

import pytest

from models import parameters, presets
from models.config import Architecture, ModelConfig
from models.show.subject import CLASSES, Choice, find, on_text
from models.torch.introspection import flops_of, parts_of, shapes_of

PAPERS = [name for name in presets.available() if presets.paper(name)]
TEXT = [name for name in PAPERS if "vocab_size" in presets.paper(name)]
UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}


def config(name):
    return find(name, Choice()).config


def body(name, part, **changes):
    return parameters.count(find(name, Choice(changes, part, "none")).shapes)


@pytest.mark.parametrize("name", presets.available())
def test_preset_cites_year_and_remarks_only_on_config_fields(name):
    assert re.search(r"\b(19|20)\d\d\b", presets.headline(name)), "a year"
    assert set(presets.remarks(name)) <= {*ModelConfig.model_fields, "paper"}
    assert Architecture(preset=name).preset == name


@pytest.mark.parametrize("name", presets.available())
def test_preset_paper_section_holds_only_published_model_facts(name):
    known = {"part", "parameters", "vocab_size", "image_height", "image_width", "image_channels", "labels"}
    assert set(presets.paper(name)) <= known
    assert "paper" not in presets.read(name)


@pytest.mark.parametrize("name", PAPERS)
def test_preset_builds_and_runs_without_allocating_memory(name):
    made, part = config(name), CLASSES[presets.paper(name)["part"]]
    assert part in parts_of(made)
    assert flops_of(part, made, 8) > 0


@pytest.mark.parametrize("name", [name for name in TEXT if on_text(config(name))])
@pytest.mark.parametrize("part", ["encoder", "decoder", "encoder_decoder"])
def test_preset_network_matches_listed_names_and_shapes(name, part):
    assert shapes_of(CLASSES[part], config(name)) == getattr(parameters, part)(config(name))


@pytest.mark.parametrize("name", [name for name in PAPERS if "parameters" in presets.paper(name)])
def test_preset_parameter_count_is_close_to_paper(name):
    said = presets.paper(name)["parameters"]
    number = float(said[:-1]) * UNITS[said[-1]]
    # 2017's 65M has no exact count: its vocabulary is "about 37,000" pieces. ALBERT's 12M has a pooler.
    assert find(name, Choice()).count == pytest.approx(number, rel=0.07 if name == "albert" else 0.03)


def test_bert_matches_published_parameter_count():
    pooler = 768 * 768 + 768  # a classifier's dense layer
    assert body("bert", "encoder") + pooler == 109_482_240  # BertModel of google-bert/bert-base-uncased
    assert find("bert", Choice()).count == 109_514_298  # BertForMaskedLM


def test_gpt2_matches_published_parameter_count():
    assert find("gpt2", Choice()).count == 124_439_808


def test_llama_matches_published_parameter_count():
    assert find("llama", Choice()).count == 6_738_415_616


def test_t5_matches_published_parameter_count():
    assert find("t5", Choice()).count == 222_903_552


def test_albert_matches_published_parameter_count():
    pooler = 768 * 768 + 768
    assert body("albert", "encoder") + pooler == 11_683_584


def test_roberta_matches_published_count_without_unused_vectors():
    assert find("roberta", Choice()).count + 3 * 768 == 124_697_433  # RobertaForMaskedLM


def test_modernbert_matches_published_count_except_first_norm():
    assert body("modern-encoder", "encoder") - 768 == 149_014_272


def test_transformer_2017_matches_paper_parameter_formula():
    """Section 3: an encoder layer has 4 d^2 + 2 d f weights, a decoder layer 8 d^2 + 2 d f, with biases and norms."""
    d, f, vocabulary = 512, 2048, 37_000
    forward = 2 * d * f + d + f
    encoder = 4 * (d * d + d) + forward + 2 * 2 * d
    decoder = 8 * (d * d + d) + forward + 3 * 2 * d
    assert find("transformer-2017", Choice()).count == vocabulary * d + 6 * (encoder + decoder)


def test_unknown_preset_error_lists_known_presets():
    with pytest.raises(ValueError, match="no preset 'bart'; known: albert, bert"):
        presets.read("bart")
