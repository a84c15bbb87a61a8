"""The evidence bundle of a decision: every number as JSON, and a page for people."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts import atomic
from redaction import redact
from steps.pages import page
from steps.promote.check_context import Case, Finding
from steps.promote.judgement import Judgement, counts
from tasks.evaluation import Block, Table

if TYPE_CHECKING:
    from steps.promote.bootstrap import Difference
    from steps.promote.model_process import Contender
    from steps.promote.policy import Policy

FILE, PAGE = "evidence.json", "gate.html"
_WHOLE = ("task", "licence")  # kept in full in a version's description; all else is digests and ids
_WORDS = {"promote": "promoted", "refuse": "refused", "undecided": "undecided"}


def evidence(
    judgement: Judgement, policy: Policy, candidate: Contender, champion: str, by: str, override: str, ids: Mapping[str, str],
    findings: Sequence[Finding] = (), case: Case | None = None, difference: Difference | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Every number of a decision."""
    document: dict[str, Any] = {
        "model": candidate.name, "candidate": _about(candidate), "champion": champion, "outcome": judgement.outcome,
        "reason": judgement.reason, "rows_needed": judgement.needed, "override": override, "by": by,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **ids,
        "policy": policy.model_dump(mode="json"),
        "findings": [
            {"check": one.check, "verdict": one.verdict, "told": one.told, "in_the_way": counts(one, policy), "numbers": one.numbers}
            for one in findings
        ],
    }  # fmt: skip
    if case:
        document |= {
            "rows": len(case.questions),
            "split": policy.split,
            "corpus": case.corpus.artifact.digest,
            "metric": case.metric,
            "metrics": {
                "candidate": case.task.metrics(case.candidate.statistics),
                **({"champion": case.task.metrics(case.champion.statistics)} if case.champion else {}),
            },
            **({"champion_version": _about(case.champion.who)} if case.champion else {}),
        }
    if difference:
        document["difference"] = {
            "value": difference.value,
            "low": difference.low,
            "high": difference.high,
            "deviation": difference.deviation,
            "above_the_bar": float((difference.drawn > policy.bar).mean()),
        }
    return dict(redact(_plain(document)))


def write(folder: Path, document: Mapping[str, Any], blocks: Sequence[Block]) -> str:
    """Write the bundle; the sha256 of its JSON."""
    atomic.write_json(folder / FILE, dict(document))
    (folder / PAGE).write_text(str(redact(render(document, blocks))), encoding="utf-8")
    return atomic.sha256(folder / FILE)


def render(document: Mapping[str, Any], blocks: Sequence[Block]) -> str:
    """The page: the decision first, then its evidence."""
    name, number = document["model"], document["candidate"]["version"]
    outcome = "promoted against the gate" if document["override"] else _WORDS[document["outcome"]]
    about = [
        f"{name} version {number}, {'compared with version ' + document['champion'] if document['champion'] else 'the first champion'}"
    ]
    about.append(f"decided {document['at']} by {document['by']}")
    checks = Table(
        "Checks",
        "What was looked at. What stands in the way is marked.",
        ["check", "verdict", "what was found"],
        [[one["check"].replace("_", " "), _verdict_text(one), one["told"]] for one in document["findings"]],
    )
    metrics = document.get("metrics", {})
    columns = list(metrics)
    scores = Table(
        "Scores",
        f"On the same {document.get('rows', 0):,} rows of the {document.get('split', 'test')} split.",
        ["metric", *columns],
        [
            [page.readable_metric(metric), *(float(metrics[who][metric]) for who in columns)]
            for metric in metrics.get("candidate", {})
            if all(metric in metrics[who] for who in columns)
        ],
    )
    versions = [document["candidate"], *([document["champion_version"]] if "champion_version" in document else [])]
    note = "What is compared, digests by their first digits. The same digest is the same bytes."
    models = Table(
        "Models",
        note,
        ["", *(f"version {one['version']}" for one in versions)],
        [
            [key.replace("_", " "), *(one[key] if key in _WHOLE else one[key][: page.DIGITS] for one in versions)]
            for key in versions[0]
            if key != "version"
        ],
    )
    policy = Table(
        "Policy",
        "What the pipeline asks of a champion: its key `gate`.",
        ["setting", "value"],
        [[key.replace("_", " "), str(value)] for key, value in document["policy"].items()],
    )
    shown = [block for block in (scores if metrics else None, checks, *blocks, models, policy) if block is not None]
    return page.render_decision(
        title=f"{name}: version {number} {outcome}",
        summary=f"{'; '.join(about)}.",
        outcome=outcome,
        reason=document["reason"],
        override=document["override"],
        bad=bool(document["override"]) or document["outcome"] == "refuse",
        blocks=shown,
        footer=f"Run {document.get('run_id') or 'none'}. Trace {document.get('trace_id') or 'none'}.",
    )


def _about(who: Contender) -> dict[str, Any]:
    kept = ("task", "checkpoint", "report", "corpus", "tokenizer", "code", "commit", "trace_id", "licence")
    return {"version": who.number, "run_id": who.run_id, **{name: who.tag(name) for name in kept}}


def _verdict_text(finding: Mapping[str, Any]) -> str:
    """A verdict, with its effect on the decision if that is not obvious."""
    if finding["in_the_way"]:
        return f"{finding['verdict']}, in the way"
    return "failed, not required" if finding["verdict"] == "failed" else str(finding["verdict"])


def _plain(value: Any) -> Any:
    """Numbers as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return value
