"""The loaded versions: which one answers, following the alias.

champion     answers; the version that the alias names, once it is loaded and has given its recorded answers
previous     the one that answered before: kept loaded, so that going back takes an instant
canary       another alias's version, which answers a share of the questions
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from deploy.serving import ServingError, VersionError
from deploy.serving.batching import Batch
from deploy.serving.limits import Limits
from deploy.serving.registry import AwayError, Registry
from deploy.serving.version import RegisteredVersion, Version
from models.devices import CPU, Compute

_TRY_AGAIN = 60.0  # seconds before a version that could not be loaded is tried again


class EventLog(Protocol):
    """Sink for server events."""

    def log(self, event: str, message: str, *, level: Any = "info", **fields: Any) -> None:
        """One record."""
        ...


@dataclass(frozen=True)
class ServingOptions:
    """The aliases to serve, the canary's share, and the resources of each version."""

    alias: str = "champion"
    canary_alias: str = "challenger"
    canary_percent: float = 0.0
    workers: int = 1  # processes of a version
    threads: int = 1  # of a worker
    compute: Compute = CPU  # device and precision of a worker


@dataclass(frozen=True)
class Refusal:
    """A version that must not answer."""

    number: str
    why: str
    at: float  # in seconds since 1970


@dataclass
class Fleet:
    """Loaded versions. Everything but `registry`'s calls happens in one event loop, so a switch is one assignment."""

    registry: Registry
    limits: Limits
    wanted: ServingOptions
    logs: Path
    observe: EventLog
    on_batch: Callable[[Version, Batch], None]
    champion: Version | None = None
    previous: Version | None = None
    canary: Version | None = None
    refused: dict[str, Refusal] = field(default_factory=dict)
    named: str = ""  # the version that the alias names, as far as is known
    named_at: float = 0.0  # since when
    registry_up: bool = False
    registry_at: float = 0.0  # when it last answered
    from_disk: bool = False  # the registry has not confirmed yet that this is the champion
    switched_at: float = 0.0
    switch_seconds: float = 0.0  # from the look that saw a new version to the moment it answered
    problem: str = ""  # of the registry
    _said: str = ""  # the last problem that was logged: a lasting problem is logged once
    _coming: tuple[str, asyncio.Task[None]] | None = None  # the canary that is being loaded
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def versions(self) -> list[tuple[str, Version]]:
        """Role and version of all that are loaded."""
        roles = (("champion", self.champion), ("previous", self.previous), ("canary", self.canary))
        return [(role, one) for role, one in roles if one is not None]

    @property
    def ready(self) -> bool:
        """Whether there is a version that can answer now."""
        return self.champion is not None and self.champion.alive > 0

    @property
    def behind_seconds(self) -> float:
        """Seconds since the alias first named a version other than the one that answers; 0 when they agree."""
        stale = self.champion is None or (self.named and self.named != self.champion.number)
        return time.time() - self.named_at if stale and self.named_at else 0.0

    def choose(self, key: str) -> Version | None:
        """The version that answers clients with this key: always the same one while the same versions are loaded."""
        if self.canary is not None and key and self.canary.alive:
            place = (
                int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big") % 10_000
            )
            if place < self.wanted.canary_percent * 100:
                return self.canary
        return self.champion

    async def open(self, *, wait: bool = False) -> None:
        """Load the alias's version or, with the registry away, the last served one. With neither, raise ServingError, or
        `wait` until there is one."""
        reported = ""
        while True:
            try:
                await self._open()
                return
            except ServingError as error:
                if not wait:
                    raise
                self.problem = str(error)
                if self.problem != reported:
                    reported = self.problem
                    self.observe.log("serving.waiting", f"{error}; this waits", level="warning")
            await asyncio.sleep(self.limits.poll)

    async def _open(self) -> None:
        await self.look()
        if self.champion is not None:
            return
        if not self.registry_up and (kept := await asyncio.to_thread(self.registry.last)):
            why = self.problem
            self.champion = await self._start_version(kept)
            if self.champion is not None:
                self.from_disk, self.switched_at = True, time.time()
                message = f"the registry does not answer ({why}): version {kept.number}, which answered last, is served from disk"
                self.observe.log("serving.from_disk", message, level="warning", version=kept.number)
                return
        reasons = [f"version {one.number} {one.why}" for one in self.refused.values()]
        if not self.registry_up:
            reasons.append(
                f"the registry does not answer: {self.problem}; nothing that was served before is on this disk"
            )
        elif not self.named:
            reasons.append(
                f"{self.registry.name} has no alias {self.wanted.alias}; promote a version "
                f"(`python -m steps.promote --model {self.registry.name}`), or give --alias"
            )
        raise ServingError(f"nothing to serve: {'; '.join(reasons)}")

    async def watch(self) -> None:
        """Follow the alias, until this is cancelled."""
        while True:
            await asyncio.sleep(self.limits.poll)
            try:
                await self.look()
            except ServingError as error:
                self._say_problem(str(error))
            except Exception as error:  # a fault of ours must not end the watch, and what is served goes on
                self._say_problem(f"{type(error).__name__}: {error}")

    async def look(self) -> None:
        """One look at the registry, and the resulting changes."""
        started = time.monotonic()
        canary = self.wanted.canary_alias if self.wanted.canary_percent else ""
        aliases = [name for name in (self.wanted.alias, canary) if name]
        try:
            found = await asyncio.to_thread(self.registry.aliases, aliases)
        except AwayError as error:
            self.registry_up = False
            self._say_problem(str(error))
            return
        if not self.registry_up and self.problem:
            self.observe.log("serving.registry", "the registry answers again", level="info")
        self.registry_up, self.registry_at, self.problem, self._said = True, time.time(), "", ""
        self.refused = {number: one for number, one in self.refused.items() if number in found.values()}
        await self._follow(found.get(self.wanted.alias, ""), started)
        if canary:
            self._follow_canary(found.get(canary, ""))

    async def _follow(self, number: str, started: float) -> None:
        if number != self.named:
            self.named, self.named_at = number, time.time()
        if not number:
            return  # an alias that is gone for a moment changes nothing
        if self.champion and number == self.champion.number:
            self.from_disk = False
            return
        if self.previous and number == self.previous.number and self.previous.alive:
            self.champion, self.previous = self.previous, self.champion
            await self._announce_switch(started, "it was still loaded")
            return
        fresh, why = await self._make_ready(number)
        if fresh is None:
            return
        before, self.champion = self.champion, fresh
        if self.previous is not None:
            self._close_later(self.previous)
        self.previous = before
        await self._announce_switch(started, why)

    async def _make_ready(self, number: str) -> tuple[Version | None, str]:
        """The version to answer next, with a note for the log: the canary if it is the same version, else newly loaded; None if refused."""
        if self._coming and self._coming[0] == number:
            await asyncio.wait({self._coming[1]})
        if (canary := self.canary) and canary.number == number:
            self.canary = None
            if canary.alive:
                return canary, "it was the canary"
            self._close_later(canary)
        fresh = await self._load(number)
        return fresh, fresh.self_check if fresh else ""

    def _follow_canary(self, number: str) -> None:
        """Load the canary in the background: the champion's alias is followed meanwhile."""
        taken = {one.number for one in (self.champion, self.previous) if one}
        if self.canary and self.canary.number != number:
            self._close_later(self.canary)
            self.canary = None
        if self._coming and self._coming[0] != number:
            self._coming[1].cancel()
            self._end_later(self._coming[1])  # its workers are ended
            self._coming = None
        if number and self.canary is None and self._coming is None and number not in taken:
            self._coming = number, asyncio.create_task(self._load_canary(number))

    async def _load_canary(self, number: str) -> None:
        try:
            self.canary = await self._load(number)
        except Exception as error:  # as in `watch`
            self._say_problem(f"{type(error).__name__}: {error}")
        self._coming = None

    async def _load(self, number: str) -> Version | None:
        """A version, ready to answer; None if it is refused, which is logged once and retried after a while."""
        before = self.refused.get(number)
        if before and time.time() - before.at < _TRY_AGAIN:
            return None
        try:
            known = await asyncio.to_thread(self.registry.fetch, number)
        except VersionError as error:
            self._refuse(number, str(error))
            return None
        except AwayError as error:
            self.registry_up = False
            self._say_problem(str(error))
            return None
        return await self._start_version(known)

    async def _start_version(self, known: RegisteredVersion) -> Version | None:
        log = self.logs / f"version-{known.number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        version = Version(
            known, self.limits, self.wanted.workers, self.wanted.threads, self.wanted.compute, log, self.on_batch,
            self._log_death,
        )  # fmt: skip
        try:
            await version.start()
        except VersionError as error:
            self._refuse(known.number, str(error))
            return None
        self.refused.pop(known.number, None)
        return version

    async def close(self) -> None:
        """End all workers."""
        if self._coming:
            self._coming[1].cancel()
            await asyncio.wait({self._coming[1]})
        await asyncio.gather(*self._closing, *(one.close() for _, one in self.versions), return_exceptions=True)

    def about(self) -> dict[str, Any]:
        """A description of the loaded versions, for clients."""
        return {
            "model": self.registry.name,
            "alias": self.wanted.alias,
            "alias_names": self.named or None,
            "from_disk": self.from_disk,
            "registry": "up" if self.registry_up else f"away: {self.problem}",
            "versions": [{"role": role, **_about(one)} for role, one in self.versions],
            "refused": [{"version": one.number, "why": one.why, "at": one.at} for one in self.refused.values()],
        }

    async def _announce_switch(self, started: float, why: str) -> None:
        """Log that another version answers, and remember it for a start without the registry."""
        assert self.champion is not None
        self.from_disk, self.switched_at, self.switch_seconds = False, time.time(), time.monotonic() - started
        message = f"version {self.champion.number} answers now, {self.switch_seconds:.2f} s after it was seen: {why}"
        before = self.previous.number if self.previous else ""
        self.observe.log("serving.switched", message, level="info", version=self.champion.number, before=before)
        loaded = [one.number for _, one in self.versions]
        await asyncio.to_thread(self.registry.remember, self.champion.known, loaded)

    def _refuse(self, number: str, why: str) -> None:
        known = self.refused.get(number)
        self.refused[number] = Refusal(number, why, time.time())
        if known is None or known.why != why:
            stays = f"; version {self.champion.number} goes on" if self.champion else ""
            self.observe.log("serving.refused", f"version {number} {why}{stays}", level="error", version=number)

    def _log_death(self, version: Version, message: str) -> None:
        self.observe.log("serving.worker_died", message, level="error", version=version.number)

    def _say_problem(self, problem: str) -> None:
        self.problem = problem
        if problem != self._said:
            self._said = problem
            self.observe.log(
                "serving.registry", f"the registry does not answer: {problem}; loaded versions stay", level="warning"
            )

    def _close_later(self, version: Version) -> None:
        """Let it answer who waits for it, then end it."""

        async def close() -> None:
            await version.drain(self.limits.deadline)
            await version.close()

        self._end_later(asyncio.create_task(close()))

    def _end_later(self, task: asyncio.Task[None]) -> None:
        """Something that is ending: `close` waits for it."""
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _about(version: Version) -> Mapping[str, Any]:
    known, about = version.known, version.about
    return {
        "version": version.number, "task": about.task, "endpoint": f"/v1/{about.endpoint}", "network": about.summary,
        "digest": known.tag("checkpoint"), "code": known.tag("code"), "run_id": known.run_id, "trace_id": known.tag("trace_id"),
        "commit": known.tag("commit"), "metric": known.tag("metric"), "score": known.tag("score"),
        "gate": known.tag("gate"), "gate_reason": known.tag("gate_reason"), "licence": known.tag("licence"),
        "registered_at": known.made_at, "self_check": version.self_check, "ready_at": version.ready_at,
        "workers": version.alive, "restarts": version.restarts, "input": about.input, "examples": version.examples,
        "options": about.options, "labels": about.labels, "streams": about.streams, "attention": about.input == "text",
    }  # fmt: skip
