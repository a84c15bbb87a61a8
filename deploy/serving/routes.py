"""The HTTP interface: MLflow's own protocol, /v1, and the addresses for operators."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deploy.serving import bodies, invocations, request_parsing
from deploy.serving.description import ENDPOINTS, INVOCATION, RESPONSES, TEXT, add_pages, describe
from deploy.serving.errors import RefusedError, refusal
from deploy.serving.request_parsing import Questions
from deploy.serving.server import ActiveRequest, Server
from deploy.serving.worker_process import Piece

_LOGGER = logging.getLogger("uvicorn.error")  # uvicorn's own errors
Route = Callable[[Request], Awaitable[Response]]


class Interface:
    """The whole interface, as ASGI. FastAPI describes all of it and serves what is asked now and then; a question goes straight
    to its route, past layers that took half of this process' time and would do nothing for it.
    """

    def __init__(self, server: Server) -> None:
        self._app = app = FastAPI(
            title="Glassformer",
            version="1",
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            description="A registered model by its alias. Every answer names the version that gave it.",
        )
        self._questions: dict[str, Route] = {}
        for name, (summary, example) in ENDPOINTS.items():
            form = request_parsing.FORMS[name]
            self._add(f"/v1/{name}", _asking(server, name, form), describe(summary, form.model_json_schema(), example))
        summary, form = "The attention of every head for the beginning of a text", request_parsing.Look
        about = describe(summary, form.model_json_schema(), {"input": TEXT}, {"type": "object"})
        self._add("/v1/attention", _attention(server), about)
        example = {"dataframe_split": {"columns": ["text"], "data": [[TEXT]]}}
        about = describe("MLflow's own protocol", INVOCATION, example, {"type": "object"}, csv=True)
        self._add("/invocations", _invocations(server), about)
        _operations(app, server)
        add_pages(app, lambda: server.fleet.champion)

        @app.exception_handler(RefusedError)
        async def handle_refusal(request: Request, error: RefusedError) -> Response:
            return _refuse(error)

        @app.exception_handler(HTTPException)
        async def handle_http_error(request: Request, error: HTTPException) -> Response:
            where = f"{request.method} {request.url.path[:100]}: "
            return refusal(error.status_code, where + str(error.detail), dict(error.headers or {}))

        @app.exception_handler(Exception)  # uvicorn logs it, and closes the connection
        async def handle_error(request: Request, error: Exception) -> Response:
            return _server_error()

    def _add(self, path: str, route: Route, about: dict[str, Any]) -> None:
        self._app.post(path, **about)(route)
        self._questions[path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        route = self._questions.get(scope["path"]) if scope.get("method") == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await route(Request(scope, receive, send))
        except RefusedError as error:
            response = _refuse(error)
        except Exception:
            _LOGGER.exception("POST %s: a fault of the server", scope["path"])
            response = _server_error()
        await response(scope, receive, send)


def _refuse(error: RefusedError) -> Response:
    return refusal(error.code, error.message, error.headers)


def _server_error() -> Response:
    """A fault of ours."""
    return refusal(500, "the server failed; its log says why")


def _asking(server: Server, endpoint: str, form: type[BaseModel]) -> Route:
    async def ask(request: Request) -> Response:
        async def work(active: ActiveRequest) -> Response:
            about = active.version.about
            if about.endpoint != endpoint:
                raise RefusedError(
                    404, f"{active.version.known.name} is a model for {about.title}: use /v1/{about.endpoint}"
                )
            questions = request_parsing.of_form(form, await bodies.read(request, server.limits), server.limits)
            if questions.stream:
                return await _stream(server, active, questions)
            answers = await server.answers(active, questions)
            known = active.version.known
            return _json({"model": known.name, "version": known.number, "answers": answers}, active)

        return await _answer(server, f"v1/{endpoint}", request, work)

    ask.__name__ = endpoint
    return ask


def _invocations(server: Server) -> Route:
    async def invoke(request: Request) -> Response:
        async def work(active: ActiveRequest) -> Response:
            body = await bodies.read(request, server.limits)
            kind = request.headers.get("content-type", "application/json")
            questions = invocations.parse(body, kind, active.version.about.input, server.limits)
            return _json({"predictions": await server.answers(active, questions)}, active)

        return await _answer(server, "invocations", request, work)

    invoke.__name__ = "invocations"
    return invoke


def _attention(server: Server) -> Route:
    async def attention(request: Request) -> Response:
        async def work(active: ActiveRequest) -> Response:
            questions = request_parsing.of_form(
                request_parsing.Look, await bodies.read(request, server.limits), server.limits
            )
            return _json(await server.attention(active, questions.texts[0]), active)

        return await _answer(server, "v1/attention", request, work)

    return attention


async def _answer(
    server: Server, endpoint: str, request: Request, work: Callable[[ActiveRequest], Awaitable[Response]]
) -> Response:
    """Do the work of a request, and count how it went whatever happens."""
    try:
        active = server.begin(endpoint, request.headers, request.client.host if request.client else "")
    except RefusedError as error:
        server.metrics.count_rejection(error.reason)
        raise
    code, failure, streams = 500, "", False
    try:
        response = await work(active)
        code, streams = response.status_code, isinstance(response, StreamingResponse)
        return response
    except RefusedError as error:
        code, failure = error.code, error.message
        if code in (429, 504):
            server.metrics.count_rejection(error.reason)
        error.headers = {**active.headers, **error.headers}
        raise
    except BaseException as error:
        code, failure = (
            (499, "") if type(error).__name__ == "CancelledError" else (500, f"{type(error).__name__}: {error}")
        )
        raise
    finally:
        if not streams:  # a stream ends later, and counts itself
            server.end(active, code, failure)


async def _stream(server: Server, active: ActiveRequest, questions: Questions) -> Response:
    """Server-sent events: a `data` line with each piece as JSON, then an event `end`."""
    if not active.version.about.streams:
        raise RefusedError(
            422, f"stream: a model of {active.version.about.title} answers all at once; leave stream out"
        )
    pieces = server.pieces(active, questions)
    try:
        first: Piece | None = await anext(pieces)  # faults of the question have their own status code
    except StopAsyncIteration:
        first = None

    ended = _Ended(499)  # until it is written to its end: the client may have gone

    async def events() -> AsyncIterator[str]:
        try:
            end: dict[str, Any] = {"version": active.version.number}
            async for piece in _after(first, pieces):
                if isinstance(piece, str):
                    yield _event({"piece": piece})
                else:
                    end |= piece
            yield _event(end, "end")
            ended.code = 200
        except RefusedError as error:
            ended.code, ended.failure = error.code, error.message
            yield _event({"message": error.message}, "error")

    async def finish() -> None:
        await pieces.aclose()
        server.end(active, ended.code, ended.failure)

    return _Events(events(), finish, active.headers)


async def _after(first: Piece | None, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """All pieces, of which the first was waited for before."""
    if first is not None:
        yield first
        async for piece in pieces:
            yield piece


@dataclass
class _Ended:
    code: int
    failure: str = ""


class _Events(StreamingResponse):
    """A stream of events, with a callback for its end, however it ends."""

    def __init__(
        self, events: AsyncIterator[str], finish: Callable[[], Awaitable[None]], headers: Mapping[str, str]
    ) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._done = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._done()


def _event(data: Any, name: str = "") -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _json(content: Any, active: ActiveRequest) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, media_type="application/json", headers=active.headers)


def _operations(app: FastAPI, server: Server) -> None:
    def ready() -> Response:
        if server.fleet.ready and not server.draining:
            return PlainTextResponse("ready\n")
        text = "it ends\n" if server.draining else "no version is loaded\n"
        return PlainTextResponse(f"not ready: {text}", 503)

    @app.get("/healthz", response_class=PlainTextResponse, summary="Whether this process works")
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    for path in ("/readyz", "/ping", "/health"):  # the latter two are MLflow's

        async def probe() -> Response:
            return ready()

        probe.__name__ = path.strip("/")
        app.get(
            path,
            response_class=PlainTextResponse,
            summary="Whether a version is loaded",
            responses={503: {"description": "not yet, or not any more"}},
        )(probe)

    @app.get("/version", response_class=PlainTextResponse, summary="The version of MLflow, as its own server tells it")
    async def version() -> Response:
        from mlflow.version import VERSION

        return PlainTextResponse(VERSION)

    @app.get("/models", summary="What is loaded: version, digest, run, trace, decision of the gate")
    async def models() -> Response:
        return JSONResponse(server.fleet.about())

    @app.get("/models/{number}", summary="One version that is loaded", responses={404: RESPONSES[404]})
    async def model(number: str) -> Response:
        for entry in server.fleet.about()["versions"]:
            if entry["version"] == number:
                return JSONResponse(entry)
        raise RefusedError(404, f"version {number[:20]!r} is not loaded; GET /models lists those that are")

    @app.get("/metrics", response_class=PlainTextResponse, summary="For Prometheus")
    async def metrics(request: Request) -> Response:
        if "application/openmetrics-text" in request.headers.get("accept", ""):  # exemplars need this form
            page = as_openmetrics(server.metrics.registry)  # type: ignore[no-untyped-call]  # prometheus_client has no types there
            return Response(page, media_type=OPENMETRICS)
        return Response(generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST)
