"""The contents of the outbox and the state of delivery, for `python -m telemetry status`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from telemetry import delivery_state, sampling
from telemetry.endpoints import IS_DISABLED, endpoints_of, is_disabled, variable_of
from telemetry.segments import SIGNALS


def read(outbox: Path) -> dict[str, Any]:
    """The figures of `status`, as plain values."""
    targets, kept = endpoints_of(outbox), delivery_state.Delivered.read(outbox)
    chosen = sampling.of_environment()
    return {
        "outbox": str(outbox),
        "disabled": is_disabled(),
        "sampling": [line for line in (*chosen.warnings, chosen.explanation) if line],
        "signals": {
            signal: {
                **asdict(kept.signals[signal]),
                "endpoint": targets[signal].display_url if signal in targets else "",
                "waiting": asdict(delivery_state.waiting(outbox, signal)),
            }
            for signal in SIGNALS
        },
        "dropped": delivery_state.read_dropped(outbox),
    }


def as_text(document: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"outbox    {document['outbox']}"]
    if document["disabled"]:
        lines.append(f"          {IS_DISABLED}")
    else:
        lines += [f"          {line}" for line in document["sampling"]]
    for signal, state in document["signals"].items():
        waits = state["waiting"]
        since = f", the oldest for {_ago(waits['since'])}" if waits["since"] else ""
        endpoint = (
            state["endpoint"]
            or f"no backend ({variable_of(signal)} or {variable_of()} is not set): records stay in files"
        )
        lines.append(f"{signal:9} {endpoint}")
        lines.append(f"          {waits['records']} records wait ({waits['bytes']:,} bytes){since}")
        if state["delivered"] or state["set_aside"]:
            lines.append(
                f"          {state['delivered']} delivered in {state['batches']} batches, {state['set_aside']} refused and set aside"
            )
        if state["perhaps_twice"]:
            lines.append(
                f"          {state['perhaps_twice']} batches ({state['perhaps_twice_records']} records) may have arrived "
                f"twice (a shipper was killed, or an answer never came)"
            )
        if state["damaged"]:
            lines.append(f"          {state['damaged']} damaged segments were put away")
        if state["last_error"]:
            lines.append(f"          last error {_ago(state['last_error_at'])} ago: {state['last_error']}")
    dropped = sum(entry["records"] for entry in document["dropped"])
    reasons = sorted({entry["reason"] for entry in document["dropped"]})
    lines.append(f"dropped   {dropped} records{': ' + '; '.join(reasons) if reasons else ''}")
    return "\n".join(lines)


def _ago(moment: float) -> str:
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
