"""The traces whose spans are recorded: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG.

The names are those of OpenTelemetry's specification ("Environment Variable Specification", "General SDK Configuration"); a
value that cannot be used is warned about, and the default taken, as it has it. A trace is chosen by its id, so all processes
choose alike. Log records, metrics and the ids in both do not depend on it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from redaction import redact
from telemetry import context

SAMPLER, ARGUMENT = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_PARENT_BASED = "parentbased_"
_RATIOS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}  # None: the argument's
_NAMES = [*_RATIOS, *(_PARENT_BASED + root for root in _RATIOS)]
_DEFAULT = "parentbased_always_on"


@dataclass(frozen=True)
class Sampling:
    """The share of traces whose spans are recorded, and the settings that could not be used."""

    name: str = _DEFAULT
    ratio: float = 1.0
    warnings: tuple[str, ...] = ()

    @property
    def is_parent_based(self) -> bool:
        """Whether a trace that began elsewhere is recorded as its `traceparent` says; else `ratio` counts for it too."""
        return self.name.startswith(_PARENT_BASED)

    @property
    def explanation(self) -> str:
        """One line about spans that are not kept in this process; empty if all are."""
        parent = context.incoming() if self.is_parent_based else None
        if parent is not None:
            kept = "" if parent.is_sampled else f"{context.VARIABLE} is not sampled: this trace's spans are not kept"
        elif self.ratio == 0:
            kept = f"{SAMPLER}={self.name}: no spans are kept"
        else:
            kept = (
                "" if self.ratio == 1 else f"{SAMPLER}={self.name}: spans of {100 * self.ratio:g} % of traces are kept"
            )
        return f"{kept} for backends; all log records and metrics are" if kept else ""


def of_environment() -> Sampling:
    """The sampling that the environment asks for."""
    given, warnings = os.environ.get(SAMPLER, "").strip().lower(), []
    name = given or _DEFAULT
    if name not in _NAMES:
        warnings.append(f"{SAMPLER}={redact(given)}: give one of {', '.join(_NAMES)}; {_DEFAULT} is taken")
        name = _DEFAULT
    ratio = _RATIOS[name.removeprefix(_PARENT_BASED)]
    if ratio is None:
        argument = os.environ.get(ARGUMENT, "").strip()
        ratio = _ratio(argument or "1")
        if ratio is None:
            warnings.append(f"{ARGUMENT}={redact(argument)}: give a number from 0 to 1; 1 is taken")
            ratio = 1.0
    return Sampling(name, ratio, tuple(warnings))


def _ratio(text: str) -> float | None:
    try:
        ratio = float(text)
    except ValueError:
        return None
    return ratio if 0 <= ratio <= 1 else None
