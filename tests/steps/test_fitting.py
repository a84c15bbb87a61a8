"""Settings that are left to the data: a function of config and data, told in one line, kept in the history."""

import pytest

from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.tokenizer import Tokenizer
from steps.fitting import fit, updates_for
from steps.step import load_step
from telemetry import Observe
from tests.small_corpus import make_corpus, make_tokenizer, train
from tests.small_training import Recording

finetune = load_step("finetune")
pretrain = load_step("pretrain")

LEFT = {"max_updates": 0, "evaluate_every": 0, "checkpoint_every": 0, "log_every": 0}
GIVEN = {"corpus": "c", "tokenizer": "t"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("fitting")


@pytest.fixture(scope="module")
def made(home):
    corpus = make_corpus(home)
    return {"corpus": corpus, "tokenizer": make_tokenizer(home, corpus)}


def folder(home, name):
    (home / name).mkdir(exist_ok=True)
    return home / name


def fitted(made, step=finetune, **options):
    scratch = {"from_scratch": True} if step is finetune else {}
    observe = Recording()
    config = step.Config(**GIVEN | scratch | options)
    return (*fit(config, Corpus(made["corpus"]), Tokenizer.of(made["tokenizer"]), observe), observe)


@pytest.mark.parametrize(
    ("tokens", "rows", "pretraining", "epochs"),
    [(10_000, 500, False, 10), (86_000, 5_000, False, 10), (700_000, 9_000, False, 4.43), (1_200_000, 10_000, False, 3.83),
     (600_000, 50_000, False, 2), (1_000_000, 100_000, False, 1.5), (20_000_000, 100_000, False, 0.5),
     (86_000, 50_000, True, 10), (2_000_000, 9_000, True, 2), (40_000_000, 9_000, True, 0.1)],
)  # fmt: skip
def test_more_data_gives_fewer_epochs(tokens, rows, pretraining, epochs):
    updates = updates_for(tokens, rows, 2048, pretraining=pretraining)
    assert updates * 2048 * 0.95 / tokens == pytest.approx(epochs, rel=0.01, abs=2048 / tokens)
    assert updates_for(tokens, rows, 1024, pretraining=pretraining) == pytest.approx(2 * updates, abs=2)


def test_updates_intervals_and_dropout_are_fitted_and_reported(made):
    config, kept, observe = fitted(made, **LEFT, dropout_by_data=True)
    tokenizer = Tokenizer.of(made["tokenizer"])
    tokens = sum(len(ids) + 2 for ids in tokenizer.encode_batch(list(Corpus(made["corpus"]).texts("train"))))
    assert kept["fitted"]["tokens_an_epoch"] == pytest.approx(tokens, rel=0.03)
    assert config.max_updates == updates_for(
        kept["fitted"]["tokens_an_epoch"], Corpus(made["corpus"]).count("train"), 2048, pretraining=False
    )
    assert config.evaluate_every == config.checkpoint_every == max(1, config.max_updates // 20)
    assert config.dropout == 0.3
    ((_, told),) = observe.of("training.fitted")
    assert told.startswith("left to the data: tokens_an_epoch=")
    assert f"max_updates={config.max_updates}, dropout=0.3" in told
    assert fitted(made, **LEFT, dropout_by_data=True)[:2] == (config, kept), "a function of its inputs"


@pytest.mark.parametrize(("tokens", "dropout"), [(299_999, 0.3), (300_000, 0.2), (2_999_999, 0.2), (3_000_000, 0.1)])
def test_dropout_falls_as_data_grows(made, monkeypatch, tokens, dropout):
    monkeypatch.setattr("steps.fitting._amount", lambda *_: (tokens, 1000))
    assert fitted(made, dropout_by_data=True)[0].dropout == dropout


def test_given_settings_override_fitted_ones(made):
    config, kept, _ = fitted(
        made, **LEFT | {"max_updates": 77, "evaluate_every": 7}, dropout_by_data=True, dropout=0.15
    )
    assert (config.max_updates, config.evaluate_every, config.checkpoint_every, config.dropout) == (77, 7, 3, 0.15)
    assert kept == {"fitted": {"checkpoint_every": 3, "log_every": 1}}


def test_complete_settings_are_not_changed_or_reported(made):
    for step in (finetune, pretrain):
        config, kept, observe = fitted(made, step)
        assert config == step.Config(**GIVEN | ({"from_scratch": True} if step is finetune else {}))
        assert (kept, observe.records) == ({}, [])


def test_pretraining_counts_all_text_and_finetuning_labelled_text(home, made):
    half = make_corpus(folder(home, "half"), max_rows_per_label=20)
    other = {"corpus": half, "tokenizer": made["tokenizer"]}
    amounts = [fitted(other, step, **LEFT)[1]["fitted"]["tokens_an_epoch"] for step in (finetune, pretrain)]
    assert amounts[0] < 0.5 * amounts[1]


def test_fitting_updates_without_text_is_rejected(made):
    config = finetune.Config(**GIVEN, from_scratch=True, max_updates=0)
    with pytest.raises(UserError, match="max_updates=0 and dropout_by_data are for text"):
        fit(config, Corpus(made["corpus"]), Tokenizer.none(), Observe.silent())


def test_history_keeps_fitted_settings_and_selection_metric(home, made):
    options = {
        "from_scratch": True,
        "max_updates": 0,
        "evaluate_every": 0,
        "select_by": "metric",
        "dropout_by_data": True,
        "patience": 0,
    }
    checkpoint = Checkpoint(train(folder(home, "chosen"), "finetune", made, **options))
    history = checkpoint.history
    assert history["fitted"]["max_updates"] == history["updates"]
    assert checkpoint.config["dropout"] == history["fitted"]["dropout"] == 0.3
    assert history["selected_by"] == "macro_f1"
    scores = [entry["score"] for entry in history["validation"]]
    assert history["best_score"] == max(scores)
    assert history["validation"][scores.index(max(scores))]["score"] == history["best_score"]
    plain = Checkpoint(train(folder(home, "plain"), "finetune", made, from_scratch=True)).history
    assert not {"fitted", "selected_by", "best_score"} & plain.keys()
    assert set(plain["validation"][0]) == {"update", "loss"}
