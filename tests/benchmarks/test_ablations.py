"""Ablations: their settings exist, and their figure is worked out by hand."""

import pytest

from benchmarks.ablations import ABLATIONS, QUICK, draw, figures, speed_up
from steps.step import load_step
from tasks import load

GIVEN = {"corpus": "c", "tokenizer": "t"}


@pytest.mark.parametrize("name", ABLATIONS)
def test_first_variant_is_the_defaults_and_others_change_one_choice(name):
    first, *others = ABLATIONS[name].variants
    step = load_step("finetune" if ABLATIONS[name].finetune else "pretrain")
    given = GIVEN | ({"checkpoint": "c"} if ABLATIONS[name].finetune else {})
    assert first.changes == {}
    assert others
    for variant in others:
        config = step.Config(**given, **ABLATIONS[name].base | variant.changes)
        load(config.task).Options(**config.options)
        assert len(variant.changes) == 1
        for field, value in variant.changes.items():
            assert getattr(config, field) == value != step.Config.model_fields[field].default, variant.name


def test_quick_ablations_exist():
    assert set(QUICK) <= ABLATIONS.keys()


def test_speed_up_compares_tokens_to_the_first_curves_last_loss():
    first = [[100.0, 5.0], [200.0, 4.0]]
    assert speed_up(first, first) == 1
    assert speed_up(first, [[100.0, 4.5], [200.0, 3.5]]) == 200 / 150
    assert speed_up(first, [[100.0, 3.0], [200.0, 2.0]]) == 2, "already at its first evaluation"
    assert speed_up(first, [[100.0, 5.0], [200.0, 4.1]]) == 0, "never"


def test_figures_name_the_best_variant_and_tell_of_each():
    ablation = ABLATIONS["warmup"]
    best, *others = figures(ablation, {"6 %": 6.0, "none": 6.1, "25 %": 5.9}, {"6 %": 1.0, "none": 0.0, "25 %": 1.14})
    assert (best["what"], best["value"]) == (
        "share of updates with a rising rate: tokens to the loss that 6 % ends with, over those of 25 %", 1.14,
    )  # fmt: skip
    assert [(one["variant"], one["value"], one["loss_above"]) for one in others] == [
        ("none", 0, 0.1),
        ("25 %", 1.14, -0.1),
    ]
    worse = figures(ablation, {"6 %": 6.0, "none": 6.1}, {"6 %": 1.0, "none": 0.0})[0]
    assert worse["what"].endswith("the loss that 6 % ends with: no other reaches it")


def test_curves_are_drawn(tmp_path):
    curves = {variant.name: [[1e6, 5.0], [2e6, 4.0]] for variant in ABLATIONS["optimizer"].variants}
    draw(ABLATIONS["optimizer"], curves, tmp_path / "folder" / "optimizer.svg")
    picture = (tmp_path / "folder" / "optimizer.svg").read_text()
    assert picture.rstrip().endswith("</svg>")
