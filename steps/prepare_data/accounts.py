"""The law of conservation: rows read are rows kept and rows left out by a named reason; so are labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steps.prepare_data.config import Config

SHORT = "shorter than min_characters"


@dataclass
class Account:
    """Counts of rows or labels left out, by reason, with the first place of each."""

    out: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str, place: str) -> None:
        """Count one."""
        self.out[reason] += 1
        self.first.setdefault(reason, place)

    @property
    def total(self) -> int:
        """All that was left out."""
        return sum(self.out.values())

    def as_dict(self) -> dict[str, Any]:
        """The form in corpus.json: `{reason: {"count": n, "first": place}}`."""
        return {reason: {"count": self.out[reason], "first": self.first[reason]} for reason in sorted(self.out)}

    def summary(self, config: Config) -> str:
        """The counts in words, largest first. A reason that is a parameter is shown with its value."""
        parts = []
        for reason, count in self.out.most_common():
            *_, name = reason.split()
            limit = f"={getattr(config, name)}" if name in type(config).model_fields else ""
            parts.append(f"{count:,} {reason}{limit} (first {self.first[reason]})")
        return ", ".join(parts)


def check(what: str, read: int, kept: int, account: Account) -> None:
    """AssertionError if something was lost without a reason: ours to repair, not the user's."""
    if read != kept + account.total:
        raise AssertionError(f"{read} {what} read, {kept} kept and {account.total} left out: {dict(account.out)}")
