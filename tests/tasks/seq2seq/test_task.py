"""Sequence to sequence: the loss by hand, a network that learns to write backwards, its answers and its report."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from artifacts import Output
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.report import Report
from artifacts.tokenizer import Tokenizer
from models import presets
from models.config import ModelConfig
from models.question import ask_each_row
from models.torch.devices import tensors_of
from models.torch.objectives import choices, sum_by_row
from steps.finetune.config import Config
from steps.step import load_step
from tasks.answers import softmax
from tasks.model import Model, load_model
from tasks.seq2seq.alignment import alignment_of
from tasks.seq2seq.task import TASK
from tasks.training import train as train_network
from telemetry import Observe
from tests import networks
from tests.networks import ask, row_losses
from tests.prepared import prepare
from tests.small_corpus import make_corpus, make_tokenizer, train
from tests.small_pairs import make_pairs
from tests.small_training import Recording
from training.errors import TrainingError

evaluate = load_step("evaluate")

SETTINGS = {"too_long": "truncate"}
CHOSEN = {"task": "seq2seq", "from_scratch": True, "positions": "rope", "d_model": 32, "d_ff": 64, "num_heads": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("seq2seq")
    corpus = make_pairs(root, label_column="kind")
    inputs = {"corpus": corpus, "tokenizer": make_tokenizer(root, corpus, vocab_size=300)}
    options = {"max_updates": 330, "learning_rate": 0.01, "evaluate_every": 100, "batch_tokens": 512, "checkpoint_every": 1000,
               "patience": 0, "max_length": 16}  # fmt: skip
    return inputs | {"checkpoint": train(root, "finetune", inputs, **CHOSEN | options)}


@pytest.fixture(scope="module")
def model(made):
    return load_model(Checkpoint(made["checkpoint"]))


@pytest.fixture
def batch(made, model):
    corpus = Corpus(made["corpus"])
    return TASK.examples(corpus, model.tokenizer, "train", SETTINGS, model.config).batch(np.arange(12))


def test_examples_hold_source_and_target_with_end_tokens(made, model):
    corpus, tokenizer = Corpus(made["corpus"]), model.tokenizer
    examples = TASK.examples(corpus, tokenizer, "test", SETTINGS, model.config)
    for place, row in enumerate(corpus.rows("test")):
        assert examples.ids[place] == row["id"]
        for ids, text in ((examples.inputs[place], row["text"]), (examples.targets[place], row["target"])):
            assert (ids[0], ids[-1]) == (tokenizer.cls_id, tokenizer.sep_id)
            assert tokenizer.decode(ids.tolist()) == text
    assert examples.cut == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_next_token_cross_entropy_per_row(model, batch, smoothing):
    """Smoothed: 1 - e of the wanted token's, e of the mean over all tokens (Szegedy et al. 2016, section 7)."""
    question = ask(TASK, model.config, batch, SETTINGS)
    assert not question.inputs["attention_mask"].all()
    each = []
    for row in range(12):
        source, target = batch.input_ids[row][batch.attention_mask[row]], batch.target_ids[row][batch.target_mask[row]]
        np.testing.assert_array_equal(question.labels[question.rows == row], target[1:])
        alone = ask_each_row(
            {"input_ids": source[None].astype(np.int64), "target_ids": target[None, :-1].astype(np.int64)}
        )
        alone = replace(alone, places=np.arange(len(target) - 1))  # all places, the long way
        logs = np.log(softmax(model.network.logits(alone)))
        wanted = logs[np.arange(len(target) - 1), target[1:]]
        each.append((-(1 - smoothing) * wanted - smoothing * logs.mean(-1)).sum())
    model.network.module.train()
    terms = choices(model.network.module, question, label_smoothing=smoothing)
    by_row = sum_by_row(terms, question.batch_size).detach().numpy()
    np.testing.assert_allclose(by_row, each, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(terms.each.sum().item(), by_row.sum(), rtol=1e-5)
    assert len(terms.each) == question.targets.sum() == batch.target_mask[:, 1:].sum()
    if not smoothing:
        losses = row_losses(TASK, model.network, question, SETTINGS)
        np.testing.assert_allclose(losses.total, each, rtol=1e-4, atol=1e-4)
        assert losses.targets.tolist() == (batch.target_mask.sum(1) - 1).tolist()


def test_no_gradient_reaches_later_target_tokens(model, batch):
    module, seen = model.network.module.eval(), []
    hook = module.decoder.embedding.register_forward_hook(lambda _, __, out: seen.append(out.retain_grad() or out))
    inputs = ask(TASK, model.config, batch, SETTINGS).inputs
    module.hidden_states(tensors_of(inputs, module.device))[:, 3].sum().backward()
    hook.remove()
    assert (seen[0].grad[:, 4:] == 0).all()
    assert (seen[0].grad[:, 3] != 0).any()
    module.zero_grad()


def test_padding_content_does_not_change_loss(model, batch):
    question = ask(TASK, model.config, batch, SETTINGS)
    inputs = dict(question.inputs)
    inputs["input_ids"] = np.where(inputs["attention_mask"], inputs["input_ids"], 7)
    inputs["target_ids"] = np.where(batch.target_mask[:, :-1], inputs["target_ids"], 7)
    assert (inputs["target_ids"] != question.inputs["target_ids"]).any()
    losses = [row_losses(TASK, model.network, one, SETTINGS) for one in (question, replace(question, inputs=inputs))]
    np.testing.assert_allclose(losses[1].total, losses[0].total, rtol=1e-5, atol=1e-5)


def test_trained_model_reverses_digits_and_keeps_row_order(made, model):
    questions = TASK.questions(Corpus(made["corpus"]), "test", SETTINGS)
    answers = TASK.predict(model, questions["text"].tolist())
    assert list(answers.columns) == ["prediction", "probability"]
    assert TASK.metrics(TASK.statistics(questions, answers))["exact_match"] > 0.5, "of numbers that it never saw"
    assert answers["probability"].between(0, 1).all()
    backwards = TASK.predict(model, questions["text"].tolist()[::-1])
    assert backwards["prediction"].tolist()[::-1] == answers["prediction"].tolist()


def test_beam_returns_n_best_with_best_first(model):
    answers = TASK.predict(model, ["stone 12", "quiz 3"], method="beam", beams=3, n_best=3)
    assert answers.columns.tolist() == [
        f"{name}{rank}" for rank in ("", "_2", "_3") for name in ("prediction", "probability")
    ]
    assert answers[["prediction", "prediction_2", "prediction_3"]].nunique(axis=1).tolist() == [3, 3]
    assert (answers["probability"] >= answers["probability_3"]).all()


@pytest.mark.parametrize("options", [{}, {"method": "sample", "seed": 3}, {"method": "beam", "beams": 2}])
def test_stream_pieces_join_to_prediction(model, options):
    for text in ("stone 12", ""):
        assert "".join(TASK.stream(model, text, **options)) == TASK.predict(model, [text], **options)["prediction"][0]


def test_unusual_texts_are_answered(model):
    answers = TASK.predict(model, ["", "stone " * 500, "\N{SNOWMAN}\x00\n"])
    assert len(answers) == 3
    assert len(TASK.predict(model, [])) == 0


def test_invalid_options_are_refused(model, made):
    with pytest.raises(TrainingError, match="options of seq2seq: beam: Extra inputs are not permitted"):
        TASK.predict(model, ["a"], beam=4)
    with pytest.raises(TrainingError, match=r"max_new_tokens=400, but the network has room for 15 \(max_length\)"):
        TASK.predict(model, ["a"], max_new_tokens=400)
    with pytest.raises(TrainingError, match="options of seq2seq: label_smoothing: Extra inputs are not permitted"):
        TASK.settings(Corpus(made["corpus"]), {"label_smoothing": 0.1})


def test_a_corpus_without_targets_is_refused(tmp_path):
    with pytest.raises(
        TrainingError, match=r"a corpus of text; seq2seq needs a target for each text \(set target_column"
    ):
        TASK.settings(Corpus(make_corpus(tmp_path)), {})


def test_too_long_rows_are_truncated_or_refused_by_name(made, model, tmp_path):
    corpus, short = Corpus(made["corpus"]), model.config.with_changes({"max_length": 5})
    examples = TASK.examples(corpus, model.tokenizer, "train", SETTINGS, short)
    assert examples.lengths.max() == 10
    lengths = [[len(model.tokenizer.encode(text)) for text in row] for row in corpus.text_rows("train")]
    assert examples.cut == sum(max(pair) > 3 for pair in lengths) > 0
    ends = [examples.targets[place][-1] == model.tokenizer.sep_id for place in range(len(lengths))]
    assert ends == [target <= 3 for _, target in lengths], "a target that is cut does not end there"
    with pytest.raises(
        TrainingError,
        match=r"row pairs\.jsonl:\d+ of the split train has \d+ tokens in its source and \d in "
        r"its target; max_length=5 takes 3 of each",
    ):
        TASK.examples(corpus, model.tokenizer, "train", {**SETTINGS, "too_long": "error"}, short)


def test_log_reports_number_of_truncated_rows(made, tmp_path):
    inputs = {name: made[name] for name in ("corpus", "tokenizer")}
    config = Config(**CHOSEN, corpus="corpus", max_length=6, max_updates=1, batch_tokens=64, validation_rows=5)
    output, observe = Output("checkpoint", tmp_path, step="finetune", parents=inputs, root=tmp_path), Recording()
    corpus, tokenizer = Corpus(made["corpus"]), Tokenizer(made["tokenizer"].path)
    model = TASK.config(config, tokenizer, SETTINGS)
    train_network(TASK, corpus, tokenizer, model, SETTINGS, config, None, output, observe)
    (level, told), *_ = observe.of("rows.cut")
    assert level == "warning"
    assert told.endswith(f"of {corpus.count('train')} rows of the split train are over max_length=6: cut")


def test_embeddings_are_shared_and_fine_tuning_reuses_both_parts(model, made, tmp_path):
    names = model.network.weights()
    assert {name.partition(".")[0] for name in names} == {"encoder", "decoder"}, "the head is the token vectors"
    assert "decoder.embedding.tokens.weight" not in names
    inputs = {name: made[name] for name in ("corpus", "tokenizer", "checkpoint")}
    again = train(tmp_path, "finetune", inputs, task="seq2seq", max_updates=1, learning_rate=1e-9, batch_tokens=64)
    taken = Checkpoint(again).weights()
    for name, value in Checkpoint(made["checkpoint"]).weights().items():
        np.testing.assert_allclose(taken[name], value, atol=1e-6)


PRESETS = {"transformer-2017": 2, "t5": 2, "gru-attention": 1}  # heads


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() & set(presets.available())))
def test_presets_predict_and_give_alignments(preset, model):
    config = ModelConfig(preset=preset, d_model=16, d_ff=32, num_heads=2, num_layers=1, num_decoder_layers=PRESETS[preset], d_head=8,
                         max_length=12, vocab_size=model.tokenizer.vocab_size)  # fmt: skip
    network = networks.new_network(TASK, config, SETTINGS, std=config.initializer_std)
    untrained = Model(network, model.tokenizer, config, "seq2seq", SETTINGS)
    assert len(TASK.predict(untrained, ["abc", "d"])) == 2
    block = alignment_of(untrained, "abc", [40, 41], "Alignment")
    assert len(block.maps) == PRESETS[preset] ** 2, "layers times heads"
    for matrix in block.maps.values():
        assert (len(matrix), len(matrix[0])) == (len(block.rows), len(block.tokens)) == (3, len(block.tokens))
        np.testing.assert_allclose(np.sum(matrix, 1), 1, atol=0.02)


def test_row_statistics_give_exact_match():
    questions = pd.DataFrame({"expected": ["a", "b", "c", "d"]})
    statistics = TASK.statistics(questions, pd.DataFrame({"prediction": ["a", "x", "c", ""]}))
    assert TASK.metrics(statistics) == {"exact_match": 0.5}
    assert TASK.metrics(statistics.iloc[[0, 0, 2]]) == {"exact_match": 1.0}


def test_report_shows_labels_alignments_and_worst_outputs(made, tmp_path):
    output = Output("report", tmp_path / "work", step="evaluate", parents=made, root=tmp_path)
    config = evaluate.Config(
        **{name: str(one.path) for name, one in made.items()}, task="seq2seq", bootstrap_samples=20
    )
    evaluate.run(config, made, output, Observe.silent())
    report = output.commit()
    assert list(Report(report).scores["baselines"]) == ["the nearest training text's target", "the source itself"]
    page = report.sidecar("report.html").read_text()
    for title in ("Labels", "Lengths", "Alignment 1", "Alignment 3", "Worst outputs", "The best of a beam"):
        assert f">{title}</h2>" in page, title
    assert page.count("<figcaption>layer 1, head") == 3 * 4


def test_date_baselines_answer_without_training(tmp_path):
    corpus = Corpus(prepare(tmp_path, "dates", max_rows=800, min_characters=1, near_duplicate_threshold=1.0))
    questions = TASK.questions(corpus, "test", SETTINGS)
    found = TASK.baselines(corpus, questions, SETTINGS, 1, Observe.silent())
    scores = {name: TASK.metrics(TASK.statistics(questions, answers))["exact_match"] for name, answers in found.items()}
    assert list(scores) == [
        "the source itself",
        "the nearest training text's target",
        "the digits, day before month",
        "dateutil, day before month",
    ]
    assert scores["the source itself"] < 0.1
    assert scores["the nearest training text's target"] < 0.1, "no date of the test is in the training split"
    assert 0.1 < scores["the digits, day before month"] < 0.5
    assert 0.1 < scores["dateutil, day before month"] < 0.5
