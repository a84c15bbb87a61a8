"""The path of a request: to a version, through its queue, and into metrics, traces and logs."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.serving.batching import Batch, BusyError, LateError
from deploy.serving.drift import Drift
from deploy.serving.errors import RefusedError
from deploy.serving.limits import Limits
from deploy.serving.loaded_versions import Fleet
from deploy.serving.metrics import Metrics
from deploy.serving.request_parsing import FORMS, Questions
from deploy.serving.version import Version
from deploy.serving.worker_process import AnswerError, Piece, WorkerDiedError
from telemetry import clock, context
from telemetry.export import Request

if TYPE_CHECKING:
    from telemetry import Observe

_PATHS = {"/invocations", *(f"/v1/{name}" for name in FORMS)}
_ID = 128  # bits of a trace's id


@dataclass
class ActiveRequest:
    """One request that is being answered."""

    endpoint: str
    version: Version
    until: float  # of time.monotonic
    began: float = field(default_factory=time.monotonic)
    began_ns: int = field(default_factory=clock.now_ns)
    trace_id: int = field(default_factory=lambda: secrets.randbits(_ID) or 1)
    span_id: int = field(default_factory=lambda: secrets.randbits(_ID // 2) or 1)
    parent: context.TraceContext | None = None
    questions: int = 0
    characters: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """Response headers: model, version and trace."""
        known = self.version.known
        return {"x-model": known.name, "x-model-version": known.number, "x-trace-id": f"{self.trace_id:032x}"}


class Server:
    """The operations behind the routes."""

    def __init__(
        self, fleet: Fleet, limits: Limits, metrics: Metrics, observe: Observe, log_requests: str = "",
        sample_requests: float = 1.0,
    ) -> None:  # fmt: skip
        self.fleet, self.limits, self.metrics = fleet, limits, metrics
        self.draining = False
        self.drift: dict[str, Drift] = {}
        self.observe, self._log_requests, self._share = observe, log_requests, sample_requests
        metrics.watch(fleet, self.drift)

    def is_full(self, path: str) -> bool:
        """Whether a question asked there finds no room, whichever version it is for."""
        champion, canary = self.fleet.champion, self.fleet.canary
        if champion is None or champion.queue.has_room() or path not in _PATHS:
            return False
        return canary is None or not canary.queue.has_room()

    def count_full(self, path: str) -> int:
        """Count a question that found no room, without a span. Returns the seconds after which to retry."""
        champion = self.fleet.champion
        assert champion is not None
        self.metrics.count_rejection("queue")
        self.metrics.count_full(champion.number, path.strip("/"))
        return math.ceil(champion.queue.retry_after)

    def begin(self, endpoint: str, headers: Mapping[str, str], client: str) -> ActiveRequest:
        """Take a request, or refuse it before its body is read. RefusedError."""
        version = self.fleet.choose(headers.get("x-canary-key", "") or headers.get("authorization", "") or client)
        if version is None:
            raise RefusedError(503, "no version is loaded", headers={"retry-after": "5"})
        within = self.limits.deadline
        if header := headers.get("x-deadline-seconds", ""):
            try:
                wished = float(header)
            except ValueError:
                wished = math.nan
            if not 0 < wished < math.inf:
                raise RefusedError(
                    400, f"x-deadline-seconds: {header[:40]!r}; give a number of seconds, at most {within:g}"
                )
            within = min(within, wished)
        active = ActiveRequest(endpoint, version, time.monotonic() + within)
        if caller := context.parse(headers.get("traceparent", "")):
            active.trace_id, active.parent = caller.trace_id, caller
        try:
            version.queue.check_room()
        except BusyError as error:
            self.metrics.count_full(version.number, endpoint)
            raise _busy(error) from None
        self.metrics.in_flight += 1
        return active

    async def answers(self, active: ActiveRequest, questions: Questions) -> list[dict[str, Any]]:
        """The answers of one request. RefusedError."""
        active.questions, active.characters = len(questions.texts), sum(map(len, questions.texts))
        with self._explain_errors(active):
            found = await active.version.ask(questions.texts, questions.options, active.until)
        self.metrics.count_truncated(active.version.number, sum(one.get("truncated", False) for one in found))
        if drift := self.drift.get(active.version.number):
            drift.saw(questions.texts, found)
        if self._log_requests:
            self._log(active, questions, found)
        return found

    async def pieces(self, active: ActiveRequest, questions: Questions) -> AsyncGenerator[Piece]:
        """One answer in pieces. RefusedError."""
        active.questions, active.characters = 1, len(questions.texts[0])
        with self._explain_errors(active):
            async for piece in active.version.stream(questions.texts[0], questions.options, active.until):
                if not isinstance(piece, str):
                    self.metrics.count_truncated(active.version.number, int(bool(piece.get("truncated"))))
                yield piece

    async def attention(self, active: ActiveRequest, text: str) -> dict[str, Any]:
        """The maps of one text."""
        active.questions, active.characters = 1, len(text)
        with self._explain_errors(active):
            return await active.version.attention(text)

    def end(self, active: ActiveRequest, code: int, failure: str = "") -> None:
        """A request has its answer."""
        self.metrics.in_flight -= 1
        self._over(active, code, failure)

    def batch(self, version: Version, done: Batch) -> None:
        """A worker has answered a batch."""
        self.metrics.batch(version, done)
        if version.number not in self.drift:
            loaded = {one.number for _, one in self.fleet.versions} | {version.number}
            for gone in set(self.drift) - loaded:
                del self.drift[gone]
            self.drift[version.number] = Drift(version.recorded_answers.get("profile", {}))
        if "unknown_share" in done.counted:
            self.drift[version.number].add_counts(done.counted["tokens"], done.counted["unknown_share"])

    def _over(self, active: ActiveRequest, code: int, failure: str = "") -> None:
        seconds, known = time.monotonic() - active.began, active.version.known
        failed = code >= 500
        recorded = self.observe.request(Request(
            "request", active.began_ns, active.trace_id, active.span_id, active.parent, known.made_by, {
                "http.route": f"/{active.endpoint}", "http.response.status_code": code, "model": known.name,
                "version": known.number, "questions": active.questions, "characters": active.characters,
            }, failure if failed else "", share=1.0 if failed or active.parent else self._share,
        ))  # fmt: skip
        ids = (active.trace_id, active.span_id) if recorded else None
        self.metrics.count_answer(known.number, active.endpoint, code, seconds, ids)

    @contextmanager
    def _explain_errors(self, active: ActiveRequest) -> Iterator[None]:
        """Turn errors of a version into error responses."""
        try:
            yield
        except BusyError as error:
            raise _busy(error) from None
        except LateError as error:
            raise RefusedError(504, str(error)) from None
        except TimeoutError:
            raise RefusedError(504, "no answer within the deadline; send less, or ask again later") from None
        except (AnswerError, WorkerDiedError) as error:
            raise self._failure(active, error) from None

    def _failure(self, active: ActiveRequest, error: AnswerError | WorkerDiedError) -> RefusedError:
        if isinstance(error, AnswerError) and error.asker:
            return RefusedError(422, str(error))
        number = active.version.number
        self.observe.log(
            "serving.failed",
            f"version {number} failed: {error}",
            level="error",
            version=number,
            trace_id=f"{active.trace_id:032x}",
        )
        return RefusedError(500, f"version {number} failed; the server's log has trace {active.trace_id:032x}")

    def _log(self, active: ActiveRequest, questions: Questions, answers: list[dict[str, Any]]) -> None:
        """Log the request if the operator chose to; with `bodies`, its texts too."""
        bodies: dict[str, Any] = (
            {"texts": questions.texts, "answers": answers} if self._log_requests == "bodies" else {}
        )
        self.observe.log(
            "serving.request",
            f"{active.questions} questions answered by version {active.version.number}",
            endpoint=active.endpoint,
            version=active.version.number,
            trace_id=f"{active.trace_id:032x}",
            **bodies,
        )


def _busy(error: BusyError) -> RefusedError:
    return RefusedError(429, str(error), headers={"retry-after": str(math.ceil(error.after))}, reason="queue")
