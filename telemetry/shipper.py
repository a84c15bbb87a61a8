"""The shipper: one process at a time that delivers the outbox to the backends, off the training path.

A run starts one (`Shipping.start`) and waits for it at its end, at most five seconds; `python -m telemetry replay` is the
same in the foreground. Undelivered records stay in the outbox for the next shipper.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from telemetry import delivery_state, sampling
from telemetry.delivery import Delivery
from telemetry.endpoints import GRPC, IS_DISABLED, Endpoint, EndpointError, endpoints_of, is_disabled
from telemetry.otlp_client import Backend
from telemetry.segments import Signal

EXIT_SECONDS = 5.0  # a run waits for its shipper so long, then kills it
_DRAIN_SECONDS = 3.5  # so that it can still stop its threads, keep how far it came, and end by itself
_LOOK_SECONDS = 5.0  # between two looks at an outbox in which nothing waits: metrics come as often
_DISK_PAUSE = 5.0


@contextmanager
def only_one(outbox: Path) -> Iterator[bool]:
    """Hold the shipper's lock within; False when another process holds it."""
    outbox.mkdir(parents=True, exist_ok=True)
    with (outbox / "shipper.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


class Shipper:
    """Delivers every signal that has an endpoint, each in a thread of its own: a slow backend holds up no other."""

    def __init__(self, outbox: Path, targets: Mapping[Signal, Endpoint], warn: Callable[[str], None]) -> None:
        delivery_state.sweep(outbox)
        self._outbox = outbox
        self._delivered = delivery_state.Delivered.read(outbox)
        self._kept: dict[str, dict[str, Any]] = {}  # what is on disk of it
        self._draining = threading.Event()  # deliver what is there, then end
        self._stopping = threading.Event()  # end now
        self._lock = threading.Lock()
        self._patient = False
        self._threads: list[threading.Thread] = []
        self.failing = set[Signal]()
        for signal, endpoint in targets.items():
            progress = self._delivered.signals[signal]
            progress.endpoint = endpoint.display_url
            delivery = Delivery(
                outbox, signal, backend_of(signal, endpoint), progress, warn, self._stopping, self._keep
            )
            thread = threading.Thread(target=self._run, args=(signal, delivery), name=f"ship-{signal}", daemon=True)
            self._threads.append(thread)

    def start(self) -> None:
        """Begin delivering, until `drain` or `stop`."""
        for thread in self._threads:
            thread.start()

    def drain(self, seconds: float, *, patient: bool, delivered: Callable[[int], None] | None = None) -> bool:
        """Deliver all waiting records and end. Returns whether all were delivered.

        A failing backend is given up at once, unless `patient`: then only after `seconds` without any delivery. `delivered` is
        called with the number of records after each delivery.
        """
        self._patient = patient
        self._draining.set()
        before, until = self.delivered_records, time.monotonic() + seconds
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < until:
            time.sleep(0.05)
            if patient and (now := self.delivered_records) != before:
                if delivered:
                    delivered(now - before)
                before, until = now, time.monotonic() + seconds
        self._stopping.set()
        for thread in self._threads:
            thread.join(0.2)
        self._keep()
        return not self.failing and not any(thread.is_alive() for thread in self._threads)

    @property
    def delivered_records(self) -> int:
        """Records delivered over all runs."""
        return sum(progress.delivered for progress in self._delivered.signals.values())

    def progress(self, signal: Signal) -> delivery_state.Progress:
        """Delivery progress of a signal."""
        return self._delivered.signals[signal]

    def _run(self, signal: Signal, delivery: Delivery) -> None:
        with contextlib.closing(delivery):
            self._deliver(signal, delivery)

    def _deliver(self, signal: Signal, delivery: Delivery) -> None:
        while not self._stopping.is_set():
            draining = self._draining.is_set()
            try:
                wait = delivery.deliver()
            except OSError as error:  # our own disk: full, or not ours to write
                delivery.progress.last_error, delivery.progress.last_error_at = str(error), time.time()
                wait = _DISK_PAUSE
            if wait:
                self.failing.add(signal)
            else:
                self.failing.discard(signal)
            if wait is None and draining:
                return
            if wait and draining and not self._patient:
                return
            if wait != 0.0:
                self._keep()
                self._pause(_LOOK_SECONDS if wait is None else wait)

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until draining begins or all is to end; without looking up, which costs."""
        until = time.monotonic() + seconds
        if not self._draining.wait(seconds) or self._patient:
            self._stopping.wait(max(0.0, until - time.monotonic()))

    def _keep(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if (now := self._delivered.as_dict()) != self._kept:
                self._delivered.write(self._outbox)
                self._kept = now


def backend_of(signal: Signal, endpoint: Endpoint) -> Backend:
    """The client for an endpoint's protocol. Connects with its first request."""
    if endpoint.protocol == GRPC:
        from telemetry.otlp_grpc import GrpcBackend

        return GrpcBackend(signal, endpoint)
    from telemetry.otlp_http import HttpBackend

    return HttpBackend(signal, endpoint)


def serve(outbox: Path, ended: IO[bytes], warn: Callable[[str], None]) -> None:
    """Deliver until `ended` (a pipe that the run holds open) closes, then the rest, in at most five seconds."""
    os.nice(10)
    closing = threading.Event()

    def wait_for_end() -> None:
        ended.read()
        closing.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    targets = endpoints_of(outbox)
    while True:
        with only_one(outbox) as mine:
            if mine:
                shipper = Shipper(outbox, targets, warn)
                shipper.start()
                closing.wait()
                shipper.drain(_DRAIN_SECONDS, patient=False)
                return
        if closing.wait(_LOOK_SECONDS):
            return


class Shipping:
    """Handle of a shipper's process, for the run that started it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    def start(cls, outbox: Path) -> Shipping | None:
        """Start a shipper if there is an endpoint. Errors are reported once: the records wait in the outbox."""
        if is_disabled():
            print(f"telemetry: {IS_DISABLED}", file=sys.stderr, flush=True)
        else:
            _explain_sampling()
        try:
            return cls(_start_process(outbox)) if endpoints_of(outbox) else None
        except (EndpointError, OSError) as error:
            print(f"telemetry: {error}; the records wait in {outbox}", file=sys.stderr, flush=True)
            return None

    def close(self) -> None:
        """Let it deliver the rest; five seconds at most."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _explain_sampling() -> None:
    """Print that spans are left out, and settings that could not be used. A run does it once; its steps do not."""
    chosen = sampling.of_environment()
    for line in filter(None, (*chosen.warnings, chosen.explanation)):
        print(f"telemetry: {line}", file=sys.stderr, flush=True)


def _start_process(outbox: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "telemetry", "ship", "--outbox", str(outbox)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parent.parent,  # where the package is found
        start_new_session=True,  # Ctrl-C ends the run, whose last records this one is to deliver
    )
