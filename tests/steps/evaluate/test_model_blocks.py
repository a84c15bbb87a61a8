"""Names and curves of models whose weights went through several trainings."""

from types import SimpleNamespace

from steps.evaluate import model_blocks

WORDS, HALVES = {"task": "masked_lm", "tokens": 300, "updates": 3}, {"task": "retrieval", "tokens": 50, "updates": 2}


def checkpoint_after(*before):
    return SimpleNamespace(
        config={"network": "transformer"}, pretraining=[*before], history={"tokens": 7}, framework="torch"
    )


def test_name_and_tokens_tell_of_every_training_before():
    assert model_blocks.name_of(checkpoint_after()) == "transformer"
    assert model_blocks.name_of(checkpoint_after(WORDS)) == "transformer, from masked LM"
    assert model_blocks.name_of(checkpoint_after(WORDS, HALVES)) == "transformer, from masked LM and retrieval"
    assert model_blocks.tokens_of(checkpoint_after(WORDS, HALVES)) == 357


def test_each_training_before_has_a_curve():
    assert model_blocks.named_pretraining(checkpoint_after(), "this") == {}
    assert model_blocks.named_pretraining(checkpoint_after(WORDS), "this") == {"this": WORDS}
    both = {"this 1: masked LM": WORDS, "this 2: retrieval": HALVES}
    assert model_blocks.named_pretraining(checkpoint_after(WORDS, HALVES), "this") == both


def test_trainings_are_found_in_the_lineage_its_own_first():
    entries = [
        {"digest": "words", "parents": {"corpus": "c"}},
        {"digest": "halves", "parents": {"corpus": "c", "checkpoint": "words"}},
        {"digest": "tuned", "parents": {"corpus": "c", "checkpoint": "halves"}},
    ]
    artifact = SimpleNamespace(digest="tuned", lineage=entries)
    found = model_blocks.trainings_of(checkpoint_after(WORDS, HALVES), artifact)
    assert [entry["digest"] for entry in found] == ["tuned", "halves", "words"]
    found = model_blocks.trainings_of(checkpoint_after(), artifact)
    assert [entry["digest"] for entry in found] == ["tuned"], "from scratch, with the architecture of a checkpoint"
