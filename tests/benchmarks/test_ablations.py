"""Ablations: their settings exist, and their figure is worked out by hand."""

import pytest

from benchmarks.ablations import ABLATIONS, QUICK, draw, speed_up
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


def test_curves_are_drawn(tmp_path):
    curves = {variant.name: [[1e6, 5.0], [2e6, 4.0]] for variant in ABLATIONS["optimizer"].variants}
    draw(ABLATIONS["optimizer"], curves, tmp_path / "folder" / "optimizer.svg")
    picture = (tmp_path / "folder" / "optimizer.svg").read_text()
    assert picture.rstrip().endswith("</svg>")
