"""Each check of the gate on a case made by hand: planted faults are refused, each for its own reason."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tests.small_corpus as small
from artifacts import Output, atomic
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.model_files import checkpoint_digest, code_digest
from artifacts.store import Store
from steps.promote import behaviour_checks, provenance_checks
from steps.promote.baseline_checks import baselines as baseline_check
from steps.promote.bootstrap import difference
from steps.promote.changed_answers import changed_answers
from steps.promote.check_context import Case, Side
from steps.promote.checks import CHECKS
from steps.promote.judgement import judge
from steps.promote.model_process import Contender
from steps.promote.policy import Policy
from tasks import load
from telemetry import Observe

TASK = load("classification")


class Stub:
    """In place of a process: answers as it was made to, and takes as long as it says."""

    def __init__(self, answer, seconds):
        self.answer_of, self.each = answer, seconds

    def answer(self, questions, column, options):
        return self.answer_of(questions)

    def seconds(self, rows):
        return [self.each for _ in rows]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def corpus(root):
    return Corpus(small.make_corpus(root, rows=3000))


@pytest.fixture(scope="module")
def questions(corpus):
    return TASK.questions(corpus, "test", {"labels": ["a", "b", "c"]})


@pytest.fixture(scope="module")
def tokenizer(root, corpus):
    return small.make_tokenizer(root, corpus.artifact)


@pytest.fixture
def contender(tmp_path, corpus, tokenizer):
    """A version's files, and tags that fit them."""

    def make(number, weights=b"weights", **tags):
        folder = tmp_path / f"v{number}"
        for name, content in (("artifacts/checkpoint/weights", weights), ("code/a.py", b"1"), ("model.py", b"2")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        place = folder / "artifacts" / "checkpoint" / "tokenizer"
        place.mkdir(exist_ok=True)
        for name in tokenizer.files():
            (place / name).write_bytes(tokenizer.file(name).read_bytes())
        who = Contender("m", number, "run", {}, folder)
        lineage = [["corpus", corpus.artifact.digest, "prepare_data"], ["checkpoint", "c" * 64, "finetune"]]
        known = {
            "checkpoint": checkpoint_digest(who.folder),
            "code": code_digest(who.folder),
            "lineage": json.dumps(lineage),
            "commit": "abc",
            "licence": "MIT",
        }
        return Contender("m", number, "run", {f"glassformer.{k}": v for k, v in (known | tags).items()}, folder)

    return make


def predictions(questions, right, seed, probability=0.9):
    """A model that is right with this probability: one number, or one a row."""
    random = np.random.default_rng(seed)
    hit = random.random(len(questions)) < right
    others = np.array([random.choice([label for label in "abc" if label != told]) for told in questions["expected"]])
    return pd.DataFrame({"prediction": np.where(hit, questions["expected"], others), "probability": probability})


@pytest.fixture
def case(questions, corpus, contender, root):
    """Candidate and champion, equally good unless told otherwise."""

    def make(candidate=None, champion=None, policy=None, mine=None, asked=None, seconds=(0.010, 0.010)):
        whos = (mine or contender("2"), contender("1"))
        answers = [candidate, champion]
        sides = []
        for number, (who, own) in enumerate(zip(whos, answers, strict=True)):
            own = predictions(questions, 0.9, number) if own is None else own
            stub = Stub(lambda some, n=number: predictions(some, 0.9, n), seconds[number])
            sides.append(Side(who, own, TASK.statistics(questions, own), stub))
        kept = Policy(**{"robustness_rows": 60, "samples": 400, "slices": {"samples": 200}} | (policy or {}))
        return Case(TASK, kept, "macro_f1", asked or corpus, questions, *sides, Store(root), Observe.silent())

    return make


def texts_of(questions):
    return [text.lower() for text in questions["text"]]


def judged(case):
    """The whole gate, but for loading and evidence."""
    found = difference(TASK, case.metric, (case.candidate.statistics, case.champion.statistics), 400, 0.95, 1)
    findings = [one for check in CHECKS if (one := check(case)) is not None]
    return judge(case.policy, case.metric, findings, found, len(case.questions), "1")


def test_better_candidate_is_promoted(case, questions):
    judgement = judged(case(predictions(questions, 0.97, 5), predictions(questions, 0.85, 6)))
    assert judgement.outcome == "promote"
    assert "significantly better by more than 0" in judgement.reason


def test_worse_candidate_is_refused(case, questions):
    judgement = judged(case(predictions(questions, 0.80, 5), predictions(questions, 0.95, 6)))
    assert judgement.outcome == "refuse"


def test_undecided_judgement_reports_number_of_rows_needed(case, questions):
    judgement = judged(case(predictions(questions, 0.91, 5), predictions(questions, 0.90, 6)))
    assert judgement.outcome == "undecided"
    assert judgement.needed > len(questions)
    assert f"about {judgement.needed:,} rows would tell" in judgement.reason


def test_margin_promotes_candidate_that_is_not_worse(case, questions):
    own = predictions(questions, 0.9, 5)
    assert judged(case(own, own)).outcome == "refuse"
    told = judged(case(own, own, policy={"margin": 0.02}))
    assert told.outcome == "promote"
    assert "statistically not worse" in told.reason


def test_candidate_worse_on_one_slice_is_refused(case, questions):
    right = np.where(questions["expected"] == "b", 0.6, 1.0)
    made = case(predictions(questions, right, 5), predictions(questions, 0.8, 6))
    judgement = judged(made)
    assert judgement.outcome == "refuse"
    assert judgement.reason.startswith("slices: significantly worse on label b (-0.")
    assert "label a" not in judgement.reason
    assert (
        judged(
            case(predictions(questions, right, 5), predictions(questions, 0.8, 6), {"slices": {"loss": None}})
        ).outcome
        == "promote"
    )


def test_leaked_rows_are_found_despite_case_and_spaces(case, questions, contender, root, tmp_path):
    other = tmp_path / "leaking"
    other.mkdir()
    texts = [f"  {text.upper()} " for text in questions["text"][:12]]
    lines = "".join(
        f'"{text}",a\n' for text in [*texts, *(f"something else entirely {n} of its own kind" for n in range(40))]
    )
    (other / "more.csv").write_text(f"text,label\n{lines}")
    from artifacts import Output
    from steps.prepare_data.config import Config
    from steps.prepare_data.run import run

    output = Output("corpus", other / "work", step="prepare_data", root=root)
    run(Config(source=str(other / "more.csv"), label_column="label", min_characters=5, threads=1,
               validation_share=0.2, test_share=0.2, near_duplicate_threshold=1.0), {}, output, Observe.silent())  # fmt: skip
    made = output.commit()
    lineage = json.dumps([["corpus", made.digest, "prepare_data"], ["checkpoint", "c", "finetune"]])
    trained = sum(text.strip().lower() in set(texts_of(questions)) for text in Corpus(made).texts("train"))
    assert trained > 5
    judgement = judged(case(predictions(questions, 0.97, 5), mine=contender("2", lineage=lineage)))
    assert judgement.outcome == "refuse"
    assert judgement.reason.startswith(
        f"leaks: {trained} of the {len(questions):,} rows asked are in its training data"
    )
    share = trained / len(questions)
    for bound, outcome in ((share + 0.001, "promote"), (share - 0.001, "refuse")):
        allowed = case(predictions(questions, 0.97, 5), mine=contender("2", lineage=lineage), policy={"leaks": bound})
        assert judged(allowed).outcome == outcome


def test_missing_training_corpus_does_not_pass_the_leak_check(case, questions, contender):
    lineage = json.dumps([["corpus", "f" * 64, "prepare_data"], ["checkpoint", "c", "finetune"]])
    mine = contender("2", lineage=lineage)
    judgement = judged(case(predictions(questions, 0.99, 5), mine=mine))
    assert judgement.reason == "leaks: corpus ffffffffffff is not in this store any more"
    free = case(predictions(questions, 0.99, 5), mine=mine, policy={"require": ["unchanged"]})
    assert judged(free).outcome == "promote"


@pytest.mark.parametrize(
    ("policy", "seconds", "weights", "reason"),
    [
        ({"latency": {"p50": 1.5}}, (0.030, 0.010), b"", "latency: p50 is 3.00 times the champion's, over 1.5"),
        ({"latency": {"p99": 2.0}}, (0.030, 0.010), b"", "latency: p99 is 3.00 times the champion's, over 2.0"),
        ({"size": 2.0}, (0.01, 0.01), b"x" * 9_000_000, "size: 9."),
    ],
)
def test_candidate_over_latency_or_size_budget_is_refused(case, questions, contender, policy, seconds, weights, reason):
    made = {"candidate": predictions(questions, 0.99, 5), "mine": contender("2", weights), "seconds": seconds}
    assert judged(case(**made, policy=policy)).reason.startswith(reason)
    assert judged(case(**made)).outcome == "promote", "without a budget it is only told"


def test_badly_calibrated_candidate_is_refused(case, questions):
    candidate, champion = predictions(questions, 0.97, 5, probability=0.55), predictions(questions, 0.9, 6)
    judgement = judged(case(candidate, champion))
    assert judgement.reason.startswith("calibration: candidate's expected calibration error 0.4")


def test_candidate_failing_on_disturbed_texts_is_refused(case, questions):
    made = case(predictions(questions, 0.97, 5), predictions(questions, 0.9, 6))
    made.candidate.process.answer_of = lambda some: predictions(some, 0.3, 1)
    judgement = judged(made)
    assert judgement.outcome == "refuse"
    for name in behaviour_checks.DISTURBANCES:
        assert f"with {name} it is 0." in judgement.reason


def test_typos_change_few_words_and_first_half_cuts_the_text():
    random = np.random.default_rng(1)
    text = " ".join(f"word{n}" for n in range(200))
    changed = behaviour_checks.DISTURBANCES["typos"](text, random).split(" ")
    different = [(one, other) for one, other in zip(text.split(" "), changed, strict=True) if one != other]
    assert 8 <= len(different) <= 35
    assert all(sorted(one) == sorted(other) for one, other in different)
    assert behaviour_checks.DISTURBANCES["first half"]("abcdef", random) == "abc"


def test_candidate_with_changed_files_is_refused(case, questions, contender):
    mine = contender("2")
    (mine.checkpoint / "weights").write_bytes(b"other")
    assert judged(case(predictions(questions, 0.99, 5), mine=mine)).reason.startswith(
        "unchanged: changed since it was registered: checkpoint"
    )
    mine = contender("3")
    (mine.folder / "code" / "a.py").write_bytes(b"other")
    assert "changed since it was registered: code" in judged(case(predictions(questions, 0.99, 5), mine=mine)).reason
    (mine.folder / "code" / "a.py").write_bytes(b"1")
    (mine.folder / "code" / "__pycache__").mkdir()
    (mine.folder / "code" / "__pycache__" / "a.pyc").write_bytes(b"python's own")
    assert provenance_checks.integrity(case(mine=mine)).verdict == "passed"


@pytest.mark.parametrize(
    ("tags", "require", "reason"),
    [
        ({"lineage": ""}, ["lineage"], "lineage: does not say its corpus, checkpoint: register it again"),
        ({"commit": "unknown", "code": ""}, ["lineage"], "lineage: does not say its commit"),
        ({"licence": "not stated"}, ["licence"], "licence: not stated: give prepare_data its license"),
        ({"code": ""}, ["unchanged"], "unchanged: no digest of its code was recorded"),
    ],
)
def test_candidate_without_required_provenance_is_refused(case, questions, contender, tags, require, reason):
    made = {"candidate": predictions(questions, 0.99, 5), "mine": contender("2", **tags)}
    assert judged(case(**made, policy={"require": require})).reason.startswith(reason)
    assert judged(case(**made, policy={"require": []})).outcome == "promote"


def test_candidate_with_lossy_tokenizer_is_refused(case, questions, contender, monkeypatch):
    from artifacts.tokenizer import Tokenizer

    monkeypatch.setattr(Tokenizer, "decode", lambda self, ids: "")
    judgement = judged(case(predictions(questions, 0.99, 5), mine=contender("2")))
    assert judgement.reason.startswith("round trip: 0.00% of")


def test_mlflow_thresholds_are_applied(case, questions):
    made = {"candidate": predictions(questions, 0.95, 5), "champion": predictions(questions, 0.85, 6)}
    met = {"thresholds": {"accuracy": {"threshold": 0.9, "min_absolute_change": 0.02}}}
    assert judged(case(**made, policy=met)).outcome == "promote"
    missed = {"thresholds": {"accuracy": {"threshold": 0.99}}}
    assert judged(case(**made, policy=missed)).reason.startswith(
        "thresholds: Metric accuracy value threshold check failed"
    )


def test_changed_answers_lists_rows_won_and_lost(case, questions):
    made = case(predictions(questions, 0.95, 5), predictions(questions, 0.85, 6))
    won, lost = changed_answers(made)
    assert (won.title, lost.title) == ("Won", "Lost")
    for _, _, expected, mine, other in won.rows:
        assert expected == mine != other
    finding = behaviour_checks.agreement(made)
    assert finding.numbers["only_candidate"] > finding.numbers["only_champion"]
    assert won.note.startswith(f"Rows that the candidate alone has right: {finding.numbers['only_candidate']:,}")


def test_copied_checkpoint_files_have_the_artifact_digest(root, tmp_path, corpus, tokenizer):
    made = small.train(
        root, "finetune", {"corpus": corpus.artifact, "tokenizer": tokenizer}, from_scratch=True, max_updates=2
    )
    place = tmp_path / "artifacts" / "checkpoint"
    for name in made.files():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(made.file(name).read_bytes())
    assert checkpoint_digest(tmp_path) == made.digest
    assert Checkpoint(Path(place)).task == "classification"
    assert atomic.sha256(place / "model.json") == atomic.sha256(made.file("model.json"))


@pytest.fixture
def reported(root, corpus, contender):
    """A candidate whose report has these scores: a baseline is its value and how far the candidate is above it."""

    def make(own, baselines, metric="macro_f1", **changes):
        def score(value, ahead=None):
            found = {"value": value, "low": value - 0.01, "high": value + 0.01}
            above = dict(zip(("value", "low", "high"), ahead, strict=True)) if ahead else None
            return {metric: found | ({"ahead": above} if above else {})}

        work = root / f"work-report-{len(list(root.rglob('scores.json')))}"
        output = Output("report", work, step="evaluate", parents={}, root=root)
        scores = {
            "task": "classification",
            "primary_metric": metric,
            "split": "test",
            "metrics": score(own),
            "baselines": {name: score(*told) for name, told in baselines.items()},
        } | changes
        atomic.write_json(output.file("scores.json"), scores)
        atomic.write_json(output.file("data.json"), {"corpus": changes.get("corpus", corpus.artifact.digest)})
        return contender("2", report=output.commit().digest)

    return make


TF_IDF = "TF-IDF + logistic regression"
SURELY, PERHAPS, BEHIND = (0.3, 0.2, 0.4), (0.01, -0.01, 0.03), (-0.2, -0.3, -0.1)


@pytest.mark.parametrize(
    ("own", "baselines", "policy", "reason"),
    [
        (0.005, {"majority class": (0.004, (0.001, -0.01, 0.02)), TF_IDF: (1.0, (-0.995, -1, -0.99))}, {},
         "macro F1 +0.001 next to majority class: not significantly better (interval -0.010 to +0.020); macro F1 0.005 is 0% of "
         "TF-IDF + logistic regression's 1.000, under 50%"),
        (0.41, {"majority class": (0.11, SURELY), TF_IDF: (0.9, (-0.49, -0.5, -0.4))}, {}, "macro F1 0.410 is 46% of TF-IDF"),
        (0.8, {"majority class": (0.5, SURELY), TF_IDF: (0.79, PERHAPS)}, {"beats": TF_IDF},
         f"macro F1 +0.010 next to {TF_IDF}: not significantly better (interval -0.010 to +0.030)"),
        (0.8, {"majority class": (0.5, SURELY), TF_IDF: (0.79, PERHAPS)}, {"beats": "best"}, "macro F1 +0.010 next to TF-IDF"),
        (0.8, {"a": (0.5, SURELY), "b": (0.79, PERHAPS)}, {"beats": "all"}, "macro F1 +0.010 next to b"),
        (0.8, {"a": (0.5, SURELY)}, {"beats": "b"}, "its report has no baseline 'b': a"),
        (0.8, {"a": (0.5, SURELY)}, {"metric": "chrf"}, "its report has no metric 'chrf': macro_f1"),
    ],
)  # fmt: skip
def test_a_candidate_behind_its_baselines_is_refused(case, questions, reported, own, baselines, policy, reason):
    """Also a first one, that has no champion to be compared with."""
    mine = reported(own, baselines)
    made = case(predictions(questions, 0.97, 5), mine=mine, policy={"baseline": policy})
    for one in (made, dataclasses.replace(made, champion=None)):
        findings = [found for check in CHECKS if (found := check(one)) is not None]
        judgement = judge(one.policy, one.metric, findings, None, len(questions), "")
        assert judgement.outcome == "refuse"
        assert judgement.reason.startswith(f"baselines: {reason}")
    assert judged(case(predictions(questions, 0.97, 5), mine=mine, policy={"baseline": None})).outcome == "promote"


@pytest.mark.parametrize(
    ("own", "baselines", "policy"),
    [
        (0.53, {"majority class": (0.01, SURELY), TF_IDF: (0.69, (-0.16, -0.17, -0.15))}, {}),
        (0.9, {"majority class": (0.5, SURELY), TF_IDF: (0.6, SURELY)}, {"beats": "all", "share": 1.0}),
        (0.3, {"a": (0.5, BEHIND)}, {"share": 0.6}),
        (0.3, {"a": (0.9, BEHIND)}, {"beats": "", "share": None}),
        (0.3, {}, {}),
    ],
)
def test_candidate_meeting_the_baseline_policy_is_promoted(case, questions, reported, own, baselines, policy):
    made = case(predictions(questions, 0.97, 5), mine=reported(own, baselines), policy={"baseline": policy})
    assert judged(made).outcome == "promote"


def test_baseline_check_reverses_lower_is_better_metrics(case, questions, reported, monkeypatch):
    monkeypatch.setattr(type(TASK), "higher_is_better", False)
    near, far = {"gzip": (3.0, (-1.0, -1.1, -0.9))}, {"gzip": (1.5, (2.5, 2.4, 2.6))}
    for baselines, over in ((near, []), (far, ["share", "beats"])):
        made = case(mine=reported(2.0 if baselines is near else 4.0, baselines), policy={"baseline": {"beats": "best"}})
        found = baseline_check(made)
        assert found.verdict == ("failed" if over else "passed")
    assert "macro F1 -2.500 next to gzip" in found.told
    assert "macro F1 4.000 is 38% of gzip's 1.500" in found.told


@pytest.mark.parametrize("what", ["untagged", "gone", "other rows", "damaged"])
def test_unknown_baselines_are_refused_only_if_required(case, questions, contender, reported, root, what):
    told = {
        "untagged": "no report is on record",
        "gone": "is not in this store",
        "other rows": "of other rows",
        "damaged": "is not in this store",
    }
    mine = {
        "untagged": lambda: contender("2"),
        "gone": lambda: contender("2", report="f" * 64),
        "other rows": lambda: reported(0.8, {}, corpus="f" * 64),
        "damaged": lambda: reported(0.81, {}),
    }[what]()
    if what == "damaged":
        Store(root).find("report", mine.tag("report")).file("scores.json").write_text("{}")
    made = {"candidate": predictions(questions, 0.97, 5), "mine": mine}
    assert baseline_check(case(**made)).verdict == "unknown"
    assert told[what] in baseline_check(case(**made)).told
    assert judged(case(**made)).outcome == "promote"
    assert judged(case(**made, policy={"require": ["baselines"]})).reason.startswith("baselines: ")


@pytest.mark.parametrize(
    ("parity", "refusal"),
    [
        ({"framework": "flax", "rows": 16, "answers": 48, "largest_difference": 3e-6}, ""),
        (
            {"framework": "flax", "rows": 16, "answers": 48, "largest_difference": 2e-4},
            "parity: logits of flax and torch are at most 2.0e-04 apart, on 48 answers; 1e-04 are allowed",
        ),
        (
            {"framework": "flax", "rows": 16, "answers": 48, "largest_difference": None},
            "parity: logits of flax or torch are no numbers",
        ),
        (None, "parity: trained in flax, and its report compares no logits: evaluate it again"),
    ],
)
def test_parity_is_required_of_a_version_that_another_framework_trained(case, questions, reported, parity, refusal):
    made = reported(0.97, {"majority class": (0.1, SURELY)}, **({"parity": parity} if parity else {}))
    trained_in_flax = dataclasses.replace(made, tags={**made.tags, "glassformer.framework": "flax"})
    judgement = judged(case(predictions(questions, 0.97, 5), mine=trained_in_flax))
    assert judgement.reason == refusal if refusal else judgement.outcome == "promote"
    assert judged(case(predictions(questions, 0.97, 5), mine=made)).outcome == "promote"
