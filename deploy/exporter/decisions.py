"""When an alias came to name its version, from the history of decisions that the gate keeps in the registry.

The registry keeps no times of aliases. `steps/promote/history.py` writes the history and defines which decisions hold; the
same rule is applied here, to the decisions that are new since the last look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PAGE = 200  # decisions read at once
_TAG = "glassformer.decision."


def quote(name: str) -> str:
    """A model's name as a string of MLflow's filters."""
    return f'"{name}"' if "'" in name else f"'{name}'"


@dataclass
class Decisions:
    """The decisions about one model so far: the version that each alias should name, and since when."""

    held: dict[str, tuple[str, float]] = field(default_factory=dict)  # alias -> version, seconds since 1970
    last: int = 0  # number of the newest one read

    def read(self, client: MlflowClient, history: str) -> None:
        """Read the new ones of this history, a registered model. Raises what MLflow raises, and then keeps what it had."""
        new: list[Any] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(
                f"name={quote(history)}", _PAGE, order_by=["version_number DESC"], page_token=token
            )
            unread = [one for one in page if int(one.version) > self.last]
            new += unread
            token = page.token or None
            if not token or len(unread) < len(page):
                break
        for one in reversed(new):
            self._apply(one)

    def since(self, alias: str, version: str) -> float | None:
        """When the alias came to name this version; None if no decision made it do so."""
        held = self.held.get(alias)
        return held[1] if held and held[0] == version else None

    def _apply(self, decision: Any) -> None:
        alias, before, to = (decision.tags.get(f"{_TAG}{name}", "") for name in ("alias", "before", "to"))
        held = self.held.get(alias)
        if held is None or (before == held[0] and to != held[0]):
            self.held[alias] = (to, decision.creation_timestamp / 1000)
        self.last = int(decision.version)
