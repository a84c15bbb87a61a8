"""The description of the interface (OpenAPI), whose examples are the served model's own, and the pages that show it."""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from deploy.serving.version import Version

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": "index.html",
    "/page.js": "page.js",
    "/page.css": "page.css",
    "/docs": "docs.html",
    "/docs.js": "docs.js",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_ERROR = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}
_REFUSALS = {
    400: "the request cannot be read", 401: "no key, or a wrong one", 403: "a page of elsewhere", 404: "no such thing",
    405: "another method", 408: "the body did not come", 413: "too large", 414: "a long address", 415: "another content type",
    422: "a question that the model cannot take", 429: "the queue is full; Retry-After says when to come back",
    431: "headers too long or too many", 500: "the model failed", 503: "no version is loaded", 504: "no answer within the deadline",
}  # fmt: skip
RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"application/json": {"schema": _ERROR}}} for code, text in _REFUSALS.items()
}
_ANSWERS = {
    "type": "object",
    "required": ["model", "version", "answers"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "answers": {"type": "array", "items": {"type": "object"}},
    },
}
TEXT = "Return the sum of the elements over a given axis."
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "classify": ("The class of each text, and how sure it is", {"inputs": [TEXT]}),
    "embed": ("The vector of each text, of length 1", {"inputs": [TEXT]}),
    "translate": ("The target of each source", {"inputs": ["3 May 2026"], "stream": False}),
    "generate": ("Each text continued", {"inputs": "Return the", "options": {"max_new_tokens": 16}}),
    "images": ("The class of each image", {"images": [_PIXEL]}),
}
INVOCATION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "dataframe_split": {
            "type": "object",
            "properties": {
                "columns": {"type": "array", "items": {"type": "string"}},
                "data": {"type": "array", "items": {"type": "array"}},
            },
        },
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
        "instances": {},
        "inputs": {},
        "params": {"type": "object"},
    },
}


def describe(
    summary: str, schema: dict[str, Any], example: Any, answer: dict[str, Any] = _ANSWERS, *, csv: bool = False
) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "examples": {"one": {"value": example}}}}
    if csv:
        content["text/csv"] = {"schema": {"type": "string"}, "examples": {"one": {"value": f"text\n{TEXT}\n"}}}
    good = {200: {"description": "answered", "content": {"application/json": {"schema": answer}}}}
    return {
        "summary": summary,
        "responses": {**good, **RESPONSES},
        "response_class": JSONResponse,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }


def _csv(column: str, text: str) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows([[column], [text]])
    return written.getvalue()


def add_pages(app: FastAPI, champion: Callable[[], Version | None]) -> None:
    """The page to try a model by hand, and the one about the interface: a few files, no build, nothing from elsewhere."""

    def answering(file: Path) -> Callable[[], Awaitable[Response]]:
        content, kind = file.read_bytes(), _TYPES[file.suffix]

        async def page() -> Response:
            return Response(content, media_type=kind)

        return page

    for path, name in _FILES.items():
        app.get(path, include_in_schema=False)(answering(_PAGE / name))

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        version = champion()
        return JSONResponse(_of(app.openapi(), version) if version else app.openapi())


def _of(plain: dict[str, Any], version: Version) -> dict[str, Any]:
    """The description with a version's own questions as examples, and its own address marked."""
    document, about = copy.deepcopy(plain), version.about
    address = f"/v1/{about.endpoint}"
    for path, methods in document["paths"].items():
        for method in methods.values():
            method["x-served"] = path == address
    if about.input != "text" or not version.examples:
        return document
    text = version.examples[0]
    examples: dict[str, Any] = {
        address: {**ENDPOINTS[about.endpoint][1], "inputs": [text]},
        "/v1/attention": {"input": text},
        "/invocations": {"dataframe_split": {"columns": [about.input], "data": [[text]]}},
    }
    for path, value in examples.items():
        content = document["paths"][path]["post"]["requestBody"]["content"]
        content["application/json"]["examples"]["one"]["value"] = value
        if "text/csv" in content:
            content["text/csv"]["examples"]["one"]["value"] = _csv(about.input, text)
    return document
