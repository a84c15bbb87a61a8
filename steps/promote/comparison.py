"""Comparison of a candidate with the champion: both answer the same questions, are checked, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.artifact import ArtifactError, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.report import Report
from artifacts.store import Store
from steps.promote.bootstrap import difference
from steps.promote.changed_answers import changed_answers, drawn_differences
from steps.promote.check_context import Case, Side
from steps.promote.checks import CHECKS
from steps.promote.evidence import evidence
from steps.promote.judgement import Judgement, judge
from steps.promote.model_process import Answering, CannotAnswerError, Contender, answering, contender
from steps.promote.policy import Policy
from tasks import load
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from artifacts import Artifact
    from steps.promote.config import Config
    from tasks.evaluation import Block
    from telemetry import Observe


@dataclass(frozen=True)
class Looked:
    """Result of one look at a candidate."""

    judgement: Judgement
    numbers: dict[str, Any]
    blocks: list[Block]


def look(
    client: MlflowClient, config: Config, policy: Policy, candidate: Contender, champion: str, by: str, ids: Mapping[str, str],
    inputs: Mapping[str, Artifact], work: Path, observe: Observe,
) -> Looked:  # fmt: skip
    """Ask both the same questions, run the policy's checks, and judge. UserError if the candidate cannot answer."""
    try:
        rival = contender(client, candidate.name, champion, work) if champion else None
        reason = _incomparable(candidate, rival)
        if not reason:
            return _compare(config, policy, candidate, rival, by, ids, inputs, observe)
    except CannotAnswerError as error:
        if error.number != champion:
            raise
        reason = f"the champion cannot answer: {error}"
    judgement = Judgement("refuse", reason)
    return Looked(judgement, evidence(judgement, policy, candidate, champion, by, config.override, ids), [])


def _compare(
    config: Config, policy: Policy, candidate: Contender, rival: Contender | None, by: str, ids: Mapping[str, str],
    inputs: Mapping[str, Artifact], observe: Observe,
) -> Looked:  # fmt: skip
    store = Store.default()
    corpus = Corpus(inputs["corpus"]) if "corpus" in inputs else _corpus(store, candidate)
    task = load(candidate.tag("task"))
    metric = policy.metric or task.primary_metric
    try:
        questions = task.questions(corpus, policy.split, Checkpoint(candidate.checkpoint).settings)
    except TrainingError as error:
        raise UserError(str(error)) from None
    with ExitStack() as stack:
        with observe.phase("load"):
            processes = stack.enter_context(answering([candidate, *([rival] if rival else [])], config.compute))
        with observe.phase("predict"):
            sides = [_side(store, task, policy, corpus, questions, process) for process in processes]
        case = Case(task, policy, metric, corpus, questions, sides[0], sides[1] if rival else None, store, observe)
        known = task.metrics(sides[0].statistics)
        if metric not in known:
            raise UserError(f"gate: {task.name} has no metric {metric!r}; available: {', '.join(known)}")
        found = None
        if case.champion:
            statistics, samples = (sides[0].statistics, sides[1].statistics), policy.samples
            with observe.phase("bootstrap"), observe.progress("bootstrap", samples, "samples") as progress:
                found = difference(task, metric, statistics, samples, policy.confidence, policy.seed, progress.update)
        findings = []
        for check in CHECKS:
            with observe.phase("compare", check=check.__name__):
                if (one := check(case)) is not None:
                    findings.append(one)
    champion = rival.number if rival else ""
    judgement = judge(policy, metric, findings, found, len(questions), champion)
    blocks: list[Block] = [drawn_differences(found.drawn, policy.bar)] if found else []
    blocks += [*changed_answers(case), *(block for one in findings for block in one.blocks)]
    numbers = evidence(
        judgement, policy, candidate, champion, by, config.override if judgement.outcome != "promote" else "", ids, findings,
        case, found,
    )  # fmt: skip
    return Looked(judgement, numbers, blocks)


def _incomparable(candidate: Contender, rival: Contender | None) -> str:
    """The reason why these two cannot or need not be compared, or an empty string."""
    if rival is None:
        return ""
    if rival.tag("task") != candidate.tag("task"):
        return f"the champion, version {rival.number}, is of the task {rival.tag('task')}, the candidate of {candidate.tag('task')}"
    if rival.tag("checkpoint") == candidate.tag("checkpoint"):
        return f"the same checkpoint as the champion, version {rival.number}: nothing would change"
    return ""


def _corpus(store: Store, candidate: Contender) -> Corpus:
    digest = candidate.tag("corpus")
    corpus = store.find("corpus", digest)
    if corpus is None:
        raise UserError(
            f"corpus {digest[:16]}, on which version {candidate.number} was evaluated, is not in {store.root}: run its "
            "pipeline here, or give corpus=FOLDER"
        )
    return Corpus(corpus)


def _side(store: Store, task: Any, policy: Policy, corpus: Corpus, questions: pd.DataFrame, process: Answering) -> Side:
    """A version's answers: those of its report where it was asked the same, else asked now."""
    answers = _stored_answers(store, policy, corpus, questions, process.who)
    if answers is None:
        answers = process.answer(questions, task.input, policy.options)
    return Side(process.who, answers, task.statistics(questions, answers), process)


def _stored_answers(
    store: Store, policy: Policy, corpus: Corpus, questions: pd.DataFrame, who: Contender
) -> pd.DataFrame | None:
    """The answers in a version's report, if they are to these very questions, asked in this way."""
    import pandas as pd

    found = store.find("report", who.tag("report"))
    if found is None:
        return None
    try:
        report = Report(open_artifact(found.path, "report"))
        made_by = atomic.read_json(found.sidecar("made_by.json"))
    except ArtifactError as error:
        raise UserError(f"the report of version {who.number}: {error}") from None
    except FileNotFoundError:
        return None
    same = report.data["corpus"] == corpus.artifact.digest and report.scores["split"] == policy.split
    if not same or made_by["config"].get("options", {}) != policy.options:
        return None
    table = pd.read_parquet(report.artifact.file("predictions.parquet"))
    if table["id"].tolist() != questions["id"].tolist():
        return None
    return table.drop(columns=["id", "expected", *report.scores["baselines"]])
