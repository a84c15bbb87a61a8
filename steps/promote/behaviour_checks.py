"""Comparisons with the champion beyond the score: slices, speed, size, calibration, robustness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from steps.pages.page import readable_metric
from steps.promote.bootstrap import difference, direction, mcnemar
from steps.promote.check_context import Case, Finding, Side
from tasks.classification_scores import calibration_curve, calibration_error
from tasks.evaluation import Lines, Table
from training.batches import evenly

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUARTERS = 4
_MOST_SOURCES = 20
_WARM_UP = 5  # requests that are not counted
_NAMED = 3


def agreement(case: Case) -> Finding | None:
    """On how many rows the two differ in being right, and whether that is chance."""
    if case.champion is None or not case.word_for_word:
        return None
    mine, other, p = mcnemar(case.candidate.right(case.questions), case.champion.right(case.questions))
    summary = f"right where the champion is wrong: {mine:,}; the other way round: {other:,}; McNemar's p {p:.3g}"
    return Finding("agreement", "told", summary, {"only_candidate": mine, "only_champion": other, "p": p})


def slices(case: Case) -> Finding | None:
    """Check that it is on no slice significantly worse by more than the policy allows."""
    policy = case.policy.slices
    if case.champion is None:
        return None
    metrics = case.task.metrics(case.candidate.statistics)
    metric = policy.metric or ("accuracy" if "accuracy" in metrics else case.metric)
    parts = [(by, name, rows) for by in policy.by for name, rows in slicing(case, by) if len(rows) >= policy.rows]
    if not parts:
        return Finding("slices", "told", f"no slice has {policy.rows} rows", {})
    # As many intervals as slices: each is wider, so that all of them together are right as often as is stated (Bonferroni).
    confidence = 1 - (1 - case.policy.confidence) / len(parts)
    table: list[list[Any]] = []
    worse: list[str] = []
    with case.observe.progress("slices", len(parts), "slices") as progress:
        for by, name, rows in parts:
            frames = case.candidate.statistics.iloc[rows], case.champion.statistics.iloc[rows]
            found = difference(case.task, metric, frames, policy.samples, confidence, case.policy.seed)
            if policy.loss is not None and found.value < -policy.loss and found.high < 0:
                worse.append(f"{by} {name} ({found.value:+.3f} on {len(rows):,} rows)")
            values = [case.task.metrics(frame)[metric] for frame in frames]
            table.append([f"{by}: {name}", len(rows), *values, found.value, found.low, found.high])
            progress.update()
    table.sort(key=lambda row: row[4])
    note = (
        f"The {readable_metric(metric)} of both on parts of the rows, the worst difference first; the intervals hold for all "
        "slices together."
    )
    columns = ["slice", "rows", "candidate", "champion", "difference", "from", "to"]
    blocks = [Table("Slices", note, columns, table)]
    numbers = {"metric": metric, "slices": [dict(zip(columns, row, strict=True)) for row in table]}
    if worse:
        return Finding("slices", "failed", f"significantly worse on {', '.join(worse[:_NAMED])}", numbers, blocks)
    return Finding(
        "slices",
        "passed",
        f"on none of {len(table)} slices significantly worse by more than {policy.loss}",
        numbers,
        blocks,
    )


def slicing(case: Case, by: str) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Parts of the questions: name, and which rows."""
    if by == "length":
        if case.on_text:
            lengths = case.questions["text"].astype(str).str.len().to_numpy()
            for part in np.array_split(np.argsort(lengths, kind="stable"), _QUARTERS):
                if len(part):
                    yield f"{lengths[part[0]]:,} to {lengths[part[-1]]:,} characters", np.sort(part)
        return
    ids = case.questions["id"].astype(str)
    if by == "label":
        known = {row["id"]: row["label"] for row in case.corpus.rows(case.policy.split, ["id", "label"])}
        names = ["" if (label := known.get(name)) is None else str(label) for name in ids]
    else:
        names = [name.replace(":", "/").partition("/")[0] for name in ids]
    kinds, numbers = np.unique(names, return_inverse=True)
    if len(kinds) > 1 and (by == "label" or len(kinds) <= _MOST_SOURCES):
        yield from ((str(kind), np.flatnonzero(numbers == n)) for n, kind in enumerate(kinds) if kind)


def latency(case: Case) -> Finding | None:
    """Seconds of one request, both versions in turn on the same rows."""
    budget = case.policy.latency
    if not budget.requests:
        return None
    questions = case.questions.iloc[evenly(len(case.questions), budget.requests)]
    order = [number % len(questions) for number in range(budget.requests)]
    for side in case.sides:
        _answer(side, questions, case)
        side.process.seconds(order[:_WARM_UP])
    seconds: list[list[float]] = [[] for _ in case.sides]
    with case.observe.progress("latency", len(order), "requests") as progress:
        for number, row in enumerate(order):
            turn = list(zip(case.sides, seconds, strict=True))
            for side, taken in turn if number % 2 else reversed(turn):
                taken += side.process.seconds([row])
            progress.update()
    quantiles = [{"p50": float(np.quantile(taken, 0.5)), "p99": float(np.quantile(taken, 0.99))} for taken in seconds]
    names = case.names()
    numbers: dict[str, Any] = dict(zip(names, quantiles, strict=True))
    shown = {
        name: (
            [1000 * value for value in np.quantile(taken, np.linspace(0, 1, 21)).tolist()],
            np.linspace(0, 1, 21).tolist(),
        )
        for name, taken in zip(names, seconds, strict=True)
    }
    note = f"Milliseconds of one request ({len(order)} of each, in turn): which share was answered within them."
    blocks = [Lines("Latency", note, "milliseconds", "share", shown)]
    summary = ", ".join(
        f"{name} p50 {1000 * one['p50']:.1f} ms, p99 {1000 * one['p99']:.1f} ms"
        for name, one in zip(names, quantiles, strict=True)
    )
    if len(quantiles) == 1:
        return Finding("latency", "told", summary, numbers, blocks)
    over = [
        f"{name} is {ratio:.2f} times the champion's, over {limit}"
        for name, limit in (("p50", budget.p50), ("p99", budget.p99))
        if limit is not None and (ratio := quantiles[0][name] / quantiles[1][name]) > limit
    ]
    return _budget("latency", over, summary, numbers, blocks, limited=(budget.p50, budget.p99) != (None, None))


def size(case: Case) -> Finding:
    """Bytes of all that is served."""
    bytes_of = [side.who.bytes for side in case.sides]
    numbers: dict[str, Any] = {"candidate": bytes_of[0]}
    summary = f"{bytes_of[0] / 1e6:.1f} MB"
    if case.champion is None:
        return Finding("size", "told", summary, numbers)
    ratio, limit = bytes_of[0] / bytes_of[1], case.policy.size
    numbers |= {"champion": bytes_of[1], "ratio": ratio}
    summary += f", {ratio:.2f} times the champion's"
    over = [f"{summary}, over {limit}"] if limit is not None and ratio > limit else []
    return _budget("size", over, summary, numbers, [], limited=limit is not None)


def calibration(case: Case) -> Finding | None:
    """Expected calibration error: distance of its probabilities from its accuracy."""
    if not case.word_for_word or "probability" not in case.candidate.answers:
        return None
    names, errors, curves = case.names(), [], {}
    for name, side in zip(names, case.sides, strict=True):
        probability, right = side.answers["probability"].to_numpy(float), side.right(case.questions)
        errors.append(calibration_error(probability, right))
        curves[name] = calibration_curve(probability, right)
    note = "How often an answer is right, by how sure the model was; on the dashed line it is as sure as it should be."
    blocks = [Lines("Calibration", note, "probability", "share that is right", curves, diagonal=True)]
    numbers = dict(zip(names, errors, strict=True))
    summary = ", ".join(f"{name}'s expected calibration error {error:.3f}" for name, error in numbers.items())
    limit = case.policy.calibration
    rise = errors[0] - errors[1] if case.champion else 0.0
    over = [f"{summary}: risen by {rise:.3f}, over {limit}"] if limit is not None and rise > limit else []
    return _budget(
        "calibration", over, summary, numbers, blocks, limited=limit is not None and case.champion is not None
    )


def robustness(case: Case) -> Finding | None:
    """Score that remains when texts are in other case, have typos, or are cut in half."""
    if not case.on_text or not case.policy.robustness_rows or "role" in case.questions:
        return None
    rows = evenly(len(case.questions), case.policy.robustness_rows)
    questions = case.questions.iloc[rows].reset_index(drop=True)
    names, limit = case.names(), case.policy.robustness
    sign = direction(case.task, case.metric)
    table, over, numbers = [], [], dict[str, Any]()
    before = [case.task.metrics(side.statistics.iloc[rows])[case.metric] for side in case.sides]
    for name, change in DISTURBANCES.items():
        random = np.random.default_rng(case.policy.seed)
        changed = questions.assign(text=[change(str(text), random) for text in questions["text"]])
        after = [
            case.task.metrics(case.task.statistics(questions, _answer(side, changed, case)))[case.metric]
            for side in case.sides
        ]
        lost = [sign * (one - other) for one, other in zip(before, after, strict=True)]
        numbers[name] = {
            who: {"after": value, "lost": loss} for who, value, loss in zip(names, after, lost, strict=True)
        }
        table.append([name, *after, *lost])
        # A better model has more to lose: what counts is what is left.
        if limit is not None and case.champion is not None and (behind := sign * (after[1] - after[0])) > limit:
            over.append(f"with {name} it is {behind:.3f} behind the champion, over {limit}")
    columns = ["disturbance", *names, *(f"lost by {name}" for name in names)]
    note = f"The {readable_metric(case.metric)} of {len(rows):,} rows whose texts were changed, and the loss from that."
    summary = ", ".join(f"{row[0]} costs {row[1 + len(names)]:.3f}" for row in table)
    blocks = [Table("Robustness", note, columns, table)]
    return _budget(
        "robustness", over, summary, numbers, blocks, limited=limit is not None and case.champion is not None
    )


def thresholds(case: Case) -> Finding | None:
    """MLflow's own thresholds, by its own rule."""
    if not case.policy.thresholds:
        return None
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import EvaluationResult, MetricThreshold

    results = [EvaluationResult(metrics=case.task.metrics(side.statistics), artifacts={}) for side in case.sides]
    wanted = {
        name: MetricThreshold(**one.model_dump(exclude_none=True)) for name, one in case.policy.thresholds.items()
    }
    numbers = {"thresholds": {name: one.model_dump(exclude_none=True) for name, one in case.policy.thresholds.items()}}
    try:
        mlflow.validate_evaluation_results(wanted, results[0], results[1] if case.champion else None)
    except MlflowException as error:
        return Finding("thresholds", "failed", " ".join(str(error).split()), numbers)
    return Finding("thresholds", "passed", f"{len(wanted)} of MLflow's thresholds are met", numbers)


def _budget(
    check: str, over: list[str], summary: str, numbers: dict[str, Any], blocks: Any, *, limited: bool
) -> Finding:
    if over:
        return Finding(check, "failed", "; ".join(over), numbers, blocks)
    return Finding(check, "passed" if limited else "told", summary, numbers, blocks)


def _answer(side: Side, questions: Any, case: Case) -> Any:
    return side.process.answer(questions, case.task.input, case.policy.options)


def _typos(text: str, random: np.random.Generator) -> str:
    """In every tenth word two letters change places."""
    words = text.split(" ")
    for place in np.flatnonzero(random.random(len(words)) < 0.1).tolist():
        word = words[place]
        if len(word) > 2:
            at = int(random.integers(0, len(word) - 1))
            words[place] = f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
    return " ".join(words)


DISTURBANCES: dict[str, Callable[[str, np.random.Generator], str]] = {
    "lower case": lambda text, _: text.lower(),
    "upper case": lambda text, _: text.upper(),
    "typos": _typos,
    "first half": lambda text, _: text[: max(1, len(text) // 2)],
}
