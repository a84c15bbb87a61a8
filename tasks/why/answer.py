"""The whole answer as one value, and how it is shown."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from artifacts.store import Store
from tasks.why import WhyError, context
from tasks.why.rows import Row, Rows, rows_of
from tasks.why.run_lookup import Training, trainings
from tasks.why.spikes import Spike, spikes, worst
from training.update_log import Entry

_TEXT = 300  # characters of a row's text
_MESSAGE = 160
_UNITS = {"seconds": " s"}
_LINKS = {
    "trace": "trace",
    "trace_command": "",
    "dashboard": "dashboard",
    "flame_graph": "flames",
}  # in this order, and their names


@dataclass(frozen=True)
class Question:
    """The user's question. Empty `run`, `node` and `at` choose the newest run and the worst spike of its trainings."""

    run: str = ""
    node: str = ""
    metric: str = "loss"
    at: int | None = None
    rows: int = 5


@dataclass(frozen=True)
class Answer:
    """All that is known of one update."""

    training: Training
    metric: str
    spike: Spike
    entry: Entry
    interval: context.Interval
    made_by: str  # the run whose process made the update
    log: list[dict[str, Any]]
    links: dict[str, str]
    batch: Rows


def answer(store: Store, question: Question) -> Answer:
    """Look it all up. WhyError if the question has no answer."""
    training, spike = _choose(trainings(store, question.run, question.node), question)
    found = context.interval_of(training, spike.update)
    if found is None:
        raise WhyError(f"{training.node}: update {spike.update} is not in the record any more; ask again", 1)
    interval, entry = found
    run = context.run_behind(store, training, interval)
    log = context.log_lines(store, run, training.node, interval, entry.ended_at)
    links = context.links(store, run, training.node, interval)
    batch = rows_of(store, training, entry)
    return Answer(training, question.metric, spike, entry, interval, run, log, links, batch)


def _choose(trainings: list[Training], question: Question) -> tuple[Training, Spike]:
    """The training that is meant, and its update: the one asked for, else the worst spike of all."""
    scored = {each.node: (each, spikes(*each.updates.curve(question.metric))) for each in trainings}
    if question.at is None:
        candidates = [(each, spike) for each, all_of in scored.values() if (spike := worst(all_of))]
        if not candidates:
            counts = ", ".join(f"{node} {len(all_of)}" for node, (_, all_of) in scored.items())
            raise WhyError(f"too few updates to tell a spike from the start (recorded: {counts}); name one with --at")
        return max(candidates, key=lambda one: one[1].times or 0.0)
    holding = [(each, spike) for each, all_of in scored.values() for spike in all_of if spike.update == question.at]
    if len(holding) == 1:
        return holding[0]
    if holding:
        raise WhyError(f"update {question.at} is in {', '.join(e.node for e, _ in holding)}: say which with --node")
    spans = [f"{node} {_span([spike.update for spike in all_of])}" for node, (_, all_of) in scored.items()]
    raise WhyError(f"--at {question.at}: no such update; recorded: {', '.join(spans)}")


def _span(updates: list[int]) -> str:
    return f"{updates[0]} to {updates[-1]}" if updates else "none yet"


def as_json(answer: Answer, rows: int) -> dict[str, Any]:
    """The answer as JSON values. Numbers that are not finite are words, since JSON lacks them."""
    training, batch = answer.training, answer.batch
    document: dict[str, Any] = _plain({
        "run": training.run, "pipeline": training.pipeline, "node": training.node, "state": training.state,
        "made_by": answer.made_by, "metric": answer.metric, "update": answer.entry.update, "value": answer.spike.value,
        "usual": answer.spike.usual, "times": answer.spike.times, "loss": answer.entry.loss,
        "gradient_norm": answer.entry.gradient_norm, "seconds": answer.entry.seconds,
        "ended_at": context.time_text(answer.entry.ended_at), "interval": asdict(answer.interval), "links": answer.links,
        "log": [{name: line[name] for name in ("time", "level", "event", "message")} for line in answer.log],
        "weights": batch.weights, "loss_again": batch.loss, "missing": batch.missing,
        "batch": [{"row": row, "part": part} for row, part in zip(answer.entry.rows, answer.entry.parts, strict=True)],
        "rows": [asdict(row) | {"text": row.text and row.text[:_TEXT]} for row in batch.rows[:rows]],
    })  # fmt: skip
    return document


def as_text(answer: Answer, rows: int) -> str:
    """The answer as text."""
    training, entry, interval = answer.training, answer.entry, answer.interval
    span = f"interval {interval.first} to {interval.last}"
    span += (
        f", span {interval.span_id}, trace {interval.trace_id}" if interval.span_id else "; no telemetry was recorded"
    )
    lines = [
        f"update {entry.update} of {training.node}: {_headline(answer)}", "",
        f"run        {training.run}{f' ({training.pipeline})' if training.pipeline else ''}, {training.state}",
        f"update     loss {entry.loss:.4f}, gradient norm {entry.gradient_norm:.3f}, {entry.seconds:.3f} s, "
        f"ended {context.time_text(entry.ended_at)}",
        f"span       {span}",
        *(f"{name:9}  {answer.links[key]}" for key, name in _LINKS.items() if key in answer.links), "",
        f"log lines around it (run {answer.made_by[:12]})" if answer.log else "log lines around it: none",
        *(f"  {line['time']} {line['level']:7} {printable(line['message'], _MESSAGE)}" for line in answer.log), "",
        f"the batch's {len(entry.rows)} rows",
        *(f"  {line}" for line in _wrap([_name(Row(*one)) for one in zip(entry.rows, entry.parts, strict=True)])), "",
        *_row_lines(answer.batch, rows),
    ]  # fmt: skip
    return "\n".join(lines)


def _headline(answer: Answer) -> str:
    metric, spike = answer.metric.replace("_", " "), answer.spike
    value = f"{metric} {spike.value:.4g}{_UNITS.get(answer.metric, '')}"
    if not math.isfinite(spike.value):
        return f"{value}, which is not finite"
    if spike.usual is None or spike.times is None:
        return f"{value}; too early to say what is usual"
    return (
        f"{value}, {spike.times:.2f} times the {spike.usual:.4g} that was usual (median of the {spike.before} before)"
    )


def _row_lines(batch: Rows, rows: int) -> list[str]:
    shown = batch.rows[:rows]
    if batch.weights:
        title = [
            f"the {len(shown)} rows with the highest loss in it, computed again: {batch.loss:.4f} over the batch",
            f"  weights {batch.weights}; the update's own masks, dropout off",
        ]
    else:
        title = [f"{len(shown)} of them" if shown and shown[0].text is not None else "their texts are not known"]
    lines = []
    for place, row in enumerate(shown, 1):
        about = [f"label {printable(row.label, 60)}"] if row.label is not None else []
        if row.loss:
            count = f"{row.loss.targets} target{'' if row.loss.targets == 1 else 's'}"
            about += [f"loss {row.loss.mean:.3f} over {count}", f"{row.loss.share:.0%} of the batch's"]
        lines.append(f"  {place}. {_name(row)}{': ' if about else ''}{', '.join(about)}")
        if row.text:  # an image has none
            lines.append(f"     {printable(row.text.strip(), _TEXT)}")
    return [*title, *lines]


def _name(row: Row) -> str:
    return printable(row.id, 120) + (f" (part {row.part + 1})" if row.part else "")


def _wrap(names: list[str], width: int = 116) -> list[str]:
    lines = [""]
    for name in names:
        if lines[-1] and len(lines[-1]) + len(name) + 2 > width:
            lines.append("")
        lines[-1] += f", {name}" if lines[-1] else name
    return lines


def printable(text: str, longest: int) -> str:
    """Text for one line of a terminal: cursor and direction controls are escaped, and it is cut to the width."""
    cut = text if len(text) <= longest else f"{text[:longest]} …"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
