"""Parsing of requests, in MLflow's forms and in ours. A refusal stops at the first fault and names its row."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.serving.bodies import json_of
from deploy.serving.errors import RefusedError
from deploy.serving.limits import Limits

_KINDS: tuple[tuple[type, str], ...] = (
    (str, "a text"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "an object"),
)
_INPUTS = ("images", "inputs", "input")  # names of what is asked, in the forms of /v1
_MOST_OPTIONS, _LONGEST_OPTIONS = 64, 8192  # names, and bytes of them all


@dataclass(frozen=True)
class Questions:
    """The questions of one request, with options for their answers."""

    texts: list[str]  # texts, or images in base64
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Optional(_Form):
    options: dict[str, Any] = Field({}, description="How to answer: the options of `GET /models`")


class Question(_Optional):
    """One question or many, and the task's options."""

    inputs: str | list[str] = Field(description="A text, or many")


class Generation(Question):
    """Texts to continue or translate."""

    stream: bool = Field(False, description="Answer in pieces, as server-sent events; of one text alone")


class Pictures(_Optional):
    """Images to be classified."""

    images: str | list[str] = Field(description="Contents of image files in base64: one, or many")


class Look(_Form):
    """A text whose attention is to be shown."""

    input: str = Field(description="A text; its beginning is looked at")


FORMS: dict[str, type[BaseModel]] = {  # what each address below /v1 takes
    "classify": Question,
    "embed": Question,
    "translate": Generation,
    "generate": Generation,
    "images": Pictures,
    "attention": Look,
}


def of_form(form: type[BaseModel], body: bytes, limits: Limits) -> Questions:
    """A request of /v1."""
    document = json_of(body, limits)
    if isinstance(document, dict):
        _weigh(document, form, limits)
    try:
        request = form.model_validate(document, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part)[:60] for part in problem["loc"]) or "the body"
        raise RefusedError(422, f"{place}: {problem['msg']}") from None
    inputs: Any = next(getattr(request, name) for name in _INPUTS if hasattr(request, name))
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    questions = Questions(texts, getattr(request, "options", {}), getattr(request, "stream", False))
    check(questions, "image" if isinstance(request, Pictures) else "text", limits)
    if questions.stream and len(texts) != 1:
        raise RefusedError(422, "stream: one text is answered in pieces; send one, or leave stream out")
    return questions


def _weigh(document: Mapping[str, Any], form: type[BaseModel], limits: Limits) -> None:
    """Refuse oversized requests before validation: pydantic lists every error, however many there are."""
    if unknown := [name for name in document if name not in form.model_fields]:
        known = ", ".join(form.model_fields)
        raise RefusedError(422, f"{some_of(unknown)}: no such field; this address takes {known}")
    for name in _INPUTS:
        values = document.get(name)
        if isinstance(values, list):
            check_count(len(values), limits)
            for number, value in enumerate(values, 1):
                if not isinstance(value, str):
                    raise RefusedError(422, f"{name}: row {number} is {kind_of(value)} where a text is needed")


def check(questions: Questions, column: str, limits: Limits) -> None:
    """Check that the questions are not empty, not too large, and well formed."""
    if not questions.texts:
        raise RefusedError(422, "inputs: nothing is asked; send a text")
    check_count(len(questions.texts), limits)
    characters = sum(map(len, questions.texts))
    if characters > limits.characters and column != "image":
        raise RefusedError(
            413, f"{characters} characters, where one request may have {limits.characters}; send several"
        )
    for place, text in enumerate(questions.texts, 1):
        try:
            text.encode()
            if column == "image":
                base64.b64decode(text, validate=True)
        except UnicodeEncodeError:
            raise RefusedError(422, f"inputs: row {place} holds half a character (a lone surrogate)") from None
        except ValueError:
            raise RefusedError(422, f"image {place} is not base64") from None
    _check_options(questions.options)


def check_count(count: int, limits: Limits) -> None:
    """413 for more inputs than a request may have."""
    if count > limits.inputs:
        raise RefusedError(413, f"{count} inputs, where one request may have {limits.inputs}; send several")


def _check_options(options: Mapping[str, Any]) -> None:
    """Check that options are small and text: a worker names those that it does not know."""
    if not options:
        return
    if len(options) > _MOST_OPTIONS:
        raise RefusedError(
            422, f"options: {len(options)} names, where there may be {_MOST_OPTIONS}; GET /models lists them"
        )
    try:
        size = len(json.dumps(options, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise RefusedError(422, "options: a name or value holds half a character (a lone surrogate)") from None
    if size > _LONGEST_OPTIONS:
        raise RefusedError(413, f"options: {size} bytes, where there may be {_LONGEST_OPTIONS}")


def kind_of(value: object) -> str:
    """The kind of a JSON value, for people."""
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "null"


def some_of(names: list[str]) -> str:
    """A few of many names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name[:60] for name in names[:3]) + more
