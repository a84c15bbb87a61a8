"""Error responses, all in MLflow's own form."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

_CODES = {
    400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST",
    405: "METHOD_NOT_ALLOWED", 408: "REQUEST_TIMEOUT", 413: "REQUEST_TOO_LARGE", 414: "REQUEST_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE",
    422: "INVALID_PARAMETER_VALUE", 429: "RESOURCE_EXHAUSTED", 431: "REQUEST_TOO_LARGE", 500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class RefusedError(Exception):
    """A request that gets no answer, and why."""

    def __init__(self, code: int, message: str, *, reason: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers or {}
        self.reason = reason or _CODES[code].lower()


def refusal(code: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to such a request."""
    return JSONResponse(body(code, message), code, headers)


def body(code: int, message: str) -> dict[str, Any]:
    """Its body. It repeats the client's input; lone surrogates are escaped."""
    text = message.encode("utf-8", "backslashreplace").decode()
    return {"error_code": _CODES.get(code, "BAD_REQUEST"), "message": text}
