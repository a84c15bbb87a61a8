"""The learning rate at points that can be worked out by hand."""

import pytest
from pydantic import ValidationError

from training.options import TrainingOptions


def rates(updates, *, highest, warmup, schedule="cosine"):
    options = TrainingOptions(max_updates=updates, learning_rate=highest, warmup=warmup, schedule=schedule)
    return [options.learning_rate_at(update) for update in range(updates)]


def test_learning_rate_follows_warm_up_and_cosine_schedule():
    at = rates(110, highest=1.0, warmup=10 / 110)
    assert at[0] == pytest.approx(0.1)
    assert at[9] == pytest.approx(1.0)
    assert at[10] == pytest.approx(1.0)
    assert at[60] == pytest.approx(0.55)  # half of the cosine: between 1 and a tenth
    assert 0.1 <= at[109] < 0.101
    assert max(at) <= 1.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", {10: 1.0, 60: 0.5, 109: 0.01}),
        ("inverse_sqrt", {10: (10 / 11) ** 0.5, 39: 0.5, 89: 1 / 3}),
        ("wsd", {10: 1.0, 60: 1.0, 90: 1.0, 95: 0.5, 109: 1 - 0.95**0.5}),
    ],
)
def test_schedules_fall_as_their_papers_say(schedule, expected):
    at = rates(110, highest=1.0, warmup=10 / 110, schedule=schedule)
    assert {update: at[update] for update in expected} == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "inverse_sqrt", "wsd"])
def test_learning_rate_rises_and_then_falls(schedule):
    at = rates(50, highest=2e-3, warmup=0.2, schedule=schedule)
    assert at[:10] == sorted(at[:10])
    assert at[10:] == sorted(at[10:], reverse=True)
    assert min(at) > 0


def test_a_single_update_trains_at_the_highest_rate():
    assert rates(1, highest=1.0, warmup=0.1) == [1.0]


@pytest.mark.parametrize("framework", ["flax", "tensorflow"])
@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("optimizer", "muon", "adamw"),
        ("lora_rank", 4, "0"),
        ("r_drop", 1.0, "0"),
        ("ranks", 2, "1"),
        ("precision", "bfloat16", "float32"),
        ("compile", "true", "false"),
    ],
)
def test_options_that_only_torch_has_are_refused_with_the_remedy(framework, option, value, remedy):
    with pytest.raises(ValidationError) as error:
        TrainingOptions(framework=framework, **{option: value})
    message = f"framework={framework} has no {option}={value}: set {option}={remedy}, or framework=torch, which has it"
    assert message in str(error.value)
    assert TrainingOptions(**{option: value}).framework == "torch"


def test_unknown_framework_is_refused():
    with pytest.raises(ValidationError, match="'torch', 'flax' or 'tensorflow'"):
        TrainingOptions(framework="keras")
