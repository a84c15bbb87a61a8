"""Questions that people ask about a champion: why it is one, the decisions so far, and whether the record still agrees.

python -m steps.promote --explain MODEL
python -m steps.promote --history MODEL
python -m steps.promote --verify MODEL
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import EXIT_TEMPORARY, TemporaryError, UserError
from command_line import discard_output, fail
from steps.promote.history import ROLLBACK, champion_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from steps.promote.history import Decision, History

_QUESTIONS = ("--explain", "--history", "--verify")


def answer_cli(arguments: Sequence[str]) -> bool:
    """Answer a question and exit with 0, or 1 on a disagreement. Returns False if the arguments are not a question."""
    if not arguments or arguments[0] not in _QUESTIONS:
        return False
    question, *rest = arguments
    if len(rest) not in (1, 3) or (len(rest) == 3 and rest[1] != "--alias"):
        sys.exit(fail(f"promote: {question} takes the name of a registered model, and perhaps --alias NAME", 2))
    try:
        from steps import tracking
        from steps.promote.history import History

        client, output = tracking.connect(), io.StringIO()
        with tracking.outages_explained(), redirect_stdout(output):
            history = History(client, rest[0], rest[2] if len(rest) == 3 else "champion")
            history.alias_version()  # names a model that is not there
            tell: Callable[[MlflowClient, History], int] = {
                "--explain": explain,
                "--history": list_history,
                "--verify": verify,
            }[question]
            code = tell(client, history)
        print(output.getvalue(), end="", flush=True)
    except BrokenPipeError:  # `| head` has read enough
        discard_output()
    except (UserError, TemporaryError) as error:
        code = fail(f"promote: {error}", error.exit_code if isinstance(error, UserError) else EXIT_TEMPORARY)
    sys.exit(code)


def list_history(client: MlflowClient, history: History) -> int:
    """Every decision, the newest first."""
    decisions = history.decisions()
    if not decisions:
        print(f"{history.name}: no decisions recorded for alias {history.alias}")
    for one in reversed(decisions):
        mark = "" if one.holds else "   (lost a race: changed nothing)"
        print(f"{_when(one)}  {one.kind:9} {one.before or 'none':>5} -> {one.to:<5} {one.by}{mark}\n    {one.why}")
    return 0


def explain(client: MlflowClient, history: History) -> int:
    """Why the champion is champion, back to the data's digests."""
    from steps.promote.run import bundle_file

    decisions = [one for one in history.decisions() if one.holds]
    champion = champion_of(decisions, history.alias_version())
    if not champion:
        print(
            f"{history.name} has no {history.alias}; {'no decision was recorded' if not decisions else 'it was deleted'}"
        )
        return 0
    print(f"{history.name}: version {champion} is {history.alias}")
    last = next((one for one in reversed(decisions) if one.to == champion), None)
    if last is None:
        print("  the alias was set before the gate kept a history, or by hand: nothing says why")
    else:
        _print_decision("since", last)
        chosen = next((one for one in reversed(decisions) if one.to == champion and one.kind != ROLLBACK), last)
        if chosen is not last:  # rolled back to: why it was champion in the first place
            _print_decision("promoted", chosen)
        with tempfile.TemporaryDirectory(prefix="glassformer-gate-") as folder:
            if chosen.evidence and (file := bundle_file(client, chosen, Path(folder))):
                _evidence(json.loads(file.read_text(encoding="utf-8")))
    if not history.exists(champion):
        print("  version: not in the registry any more")
        return 0
    version = client.get_model_version(history.name, champion)
    for name in ("task", "metric", "score", "checkpoint", "report", "corpus", "tokenizer", "commit", "trace_id"):
        if value := version.tags.get(f"glassformer.{name}"):
            print(f"  {name.replace('_', ' '):11} {value}")
    for kind, digest, step in json.loads(version.tags.get("glassformer.lineage", "[]")):
        print(f"  made from   {kind} {digest} by {step}")
    return 0


def verify(client: MlflowClient, history: History) -> int:
    """Whether alias, history, evidence and artifacts agree; each thing that does not on a line of its own."""
    problems = list(_problems(client, history))
    for problem in problems:
        print(f"{history.name}: {problem}")
    if not problems:
        count = len(history.decisions())
        print(f"{history.name}: alias, {count} decisions, their evidence and the champion's artifacts agree")
    return 1 if problems else 0


def _problems(client: MlflowClient, history: History) -> Iterator[str]:
    from artifacts import atomic
    from steps.promote.model_process import contender
    from steps.promote.run import bundle_file

    decisions, alias, numbers = history.decisions(), history.alias_version(), history.numbers()
    champion = champion_of(decisions, alias)
    if missing := sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers)):
        yield f"decisions {', '.join(map(str, missing))} of {history.name}.history were removed"
    if champion and not history.exists(champion):
        yield f"the champion, version {champion}, is not in the registry any more: promote another, or roll back"
    elif alias != champion:
        yield (
            f"{history.alias} is {f'version {alias}' if alias else 'nowhere'}, by the history it is version {champion}: "
            "the next decision sets it right"
        )
    with tempfile.TemporaryDirectory(prefix="glassformer-gate-") as folder:
        for one in decisions:
            if one.digest:
                place = Path(folder) / str(one.number)
                place.mkdir()
                file = bundle_file(client, one, place)
                if file is None:
                    yield f"the evidence of decision {one.number} ({one.evidence}) cannot be read"
                elif atomic.sha256(file) != one.digest:
                    yield f"{one.evidence}/{file.name}, the evidence of decision {one.number}, was changed since"
        if champion and history.exists(champion):
            try:
                who = contender(client, history.name, champion, Path(folder))
            except UserError as error:
                yield str(error)
                return
            for name in who.changed_parts():
                yield f"version {champion}: its {name} was changed since it was registered"


def _print_decision(word: str, one: Decision) -> None:
    print(f"  {word:11} {_when(one)}, {one.kind}, by {one.by}, in place of {one.before or 'none'}")
    print(f"  because     {one.why}")
    if one.evidence:
        print(f"  evidence    {one.evidence} (gate.html), trace {one.trace_id or 'none'}")


def _evidence(document: dict[str, Any]) -> None:
    for who, metrics in document.get("metrics", {}).items():
        print(f"  {who:11} {', '.join(f'{name} {value:.4f}' for name, value in metrics.items())}")
    for one in document["findings"]:
        print(f"  {one['check'].replace('_', ' '):11} {one['verdict']}: {one['told']}")


def _when(one: Decision) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(one.at))
