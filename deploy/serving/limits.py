"""Limits on sizes and times. Every bound of the server is here, with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one server. Times in seconds, sizes in bytes."""

    batch_tokens: int = 1024  # tokens of a batch, padding included: more is no faster on a few cores, only later
    batch_wait: float = 0.0  # how long an idle worker waits for more; while it works, the next batch gathers by itself
    queue: int = 128  # questions that wait, a second or less on two cores; further ones get Retry-After
    body: int = 1 << 20
    values: int = 50_000  # of a body of JSON, counted before they are built
    headers: int = 32 << 10  # bytes from a request's first to the end of its headers, and of what follows a body
    fields: int = 128  # headers of a request
    inputs: int = 512  # questions of one request
    characters: int = 200_000  # of all questions of a request
    deadline: float = 10.0  # from the last byte of a request to its answer
    header: float = 5.0  # from the first byte of a connection to the end of the headers
    upload: float = 10.0  # from the headers to the last byte of the body
    connections: int = 4096
    streams: int = 16  # answers that are written piece by piece at the same time
    keep_alive: float = 15.0  # of an idle connection
    drain: float = 1.0  # after SIGTERM connections are closed with their next answer, so long, before no more come in
    end: float = 20.0  # then what was accepted is answered, so long
    stuck: float = 60.0  # a worker that has not answered a batch after so long is ended, and another is started
    load: float = 120.0  # a version has so long to load and to answer what is recorded
    poll: float = 1.0  # between two looks at the alias
