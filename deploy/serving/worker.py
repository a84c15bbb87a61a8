"""Answers for one model version with the version's own code. Started with its folder; imports nothing of this checkout.

Orders come on standard input and answers go to standard output, each a frame: its length in four bytes (big-endian), then
JSON. A worker ends when its standard input does, so it never outlives its parent.

    {"id": 1, "do": "predict", "inputs": [...], "options": {}}  -> {"id": 1, "columns": {...}, "seconds": s}
             with "count": true                                    also {"tokens": n, "unknown_share": s}
    {"id": 2, "do": "stream", "input": "...", "options": {}}    -> {"id": 2, "piece": "..."} ... {"id": 2, "end": true, ...}
    {"id": 2, "do": "cancel"}                                      ends that stream
    {"id": 3, "do": "attention", "input": "..."}                -> {"id": 3, "pieces": [...], "maps": {...}, "note": "..."}

A failure is {"id": n, "error": "...", "asker": true}: `asker` where the question was wrong, not the model.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import os
import select
import struct
import sys
import time
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct(">I")


class Pipe:
    """Frames in, frames out."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._in, self._out, self._held = read_from, write_to, bytearray()

    def read(self, wait: bool) -> dict[str, Any] | None:
        """The next order; None if there is none yet and `wait` is false. EOFError at the end."""
        while (frame := self._whole()) is None:
            if not wait and not select.select([self._in], [], [], 0)[0]:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise EOFError
            self._held += data
        order: dict[str, Any] = json.loads(frame)
        return order

    def write(self, answer: dict[str, Any]) -> None:
        """Send one."""
        data = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        view = memoryview(_LENGTH.pack(len(data)) + data)
        while view:
            view = view[os.write(self._out, view) :]

    def _whole(self) -> bytes | None:
        if len(self._held) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._held)[0]
        if len(self._held) < end:
            return None
        frame = bytes(self._held[_LENGTH.size : end])
        del self._held[:end]
        return frame


class Worker:
    """One version, loaded."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder / "code"))
        from artifacts.checkpoint import Checkpoint
        from tasks import load
        from tasks.model import load_model

        self.model = load_model(Checkpoint(folder / "artifacts" / "checkpoint"))
        self.task: Any = load(self.model.task)
        self.streams: dict[
            int, tuple[Any, dict[str, Any]]
        ] = {}  # what is being written, and how much of the text was read

    def about(self) -> dict[str, Any]:
        """A description of the model for clients: task, input, options, examples."""
        from tasks.task import Task

        (column, examples), *_ = self.task.example()[0].items()
        labels = self.model.settings.get("labels", [])
        return {
            "task": self.task.name,
            "title": self.task.title or self.task.name.replace("_", " "),
            "input": column,
            "endpoint": getattr(self.task, "endpoint", "classify"),
            "examples": [_encode(one) for one in examples],
            "options": self.task.PredictOptions.model_json_schema(),
            "labels": [str(label) for label in labels],
            "max_length": self.model.config.max_length,
            "summary": self.model.config.summary(),
            "streams": type(self.task).stream is not Task.stream,
        }

    def predict(self, order: dict[str, Any]) -> dict[str, Any]:
        """The task's columns of answers, as lists; and, if asked, what its tokenizer makes of the questions."""
        started = time.perf_counter()
        inputs = [_decode(self.task, value) for value in order["inputs"]]
        frame, lengths = self._predict(inputs, order["options"])
        answer: dict[str, Any] = {"columns": {str(name): _plain(frame[name].tolist()) for name in frame}}
        answer["columns"].update(lengths)  # not through the frame: a column more takes it as long as a small batch
        answer["seconds"] = time.perf_counter() - started
        if order.get("count") and self.task.input == "text":
            given = answer["columns"].get("tokens_given")
            tokens = sum(given or map(len, self.model.tokenizer.encode_batch(inputs)))
            answer |= {"tokens": tokens, "unknown_share": _unknown_share(self.model.tokenizer, inputs)}
        return answer

    def _predict(self, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The task's answers, and how much of each text was read."""
        answer = _function("tasks.lengths.answer_with_lengths", "tasks.lengths.measured")
        return (
            answer(self.task, self.model, inputs, options)
            if answer
            else (self.task.predict(self.model, inputs, **options), {})
        )

    def _length(self, value: Any, options: dict[str, Any]) -> dict[str, Any]:
        """The length of one text, given and read."""
        if self.task.input != "text" or not hasattr(self.task, "lengths"):
            return {}
        (length,) = self.task.lengths(self.model, [value], options)
        # Only the two counts: the property has another name in the code of older versions.
        return {"truncated": length.read < length.given, "tokens_read": length.read, "tokens_given": length.given}

    def attention(self, order: dict[str, Any]) -> dict[str, Any]:
        """Every head's map for the beginning of a text."""
        from tasks.attention import attention_of

        if self.task.input != "text":
            return {"pieces": [], "maps": {}, "note": "Attention is shown of texts alone."}
        block = attention_of(self.model, str(order["input"]))
        maps = {name: [list(row) for row in rows] for name, rows in getattr(block, "maps", {}).items()}
        return {"pieces": list(getattr(block, "tokens", ())), "maps": maps, "note": block.note}

    def serve(self, pipe: Pipe) -> None:
        """Answer until standard input ends. Streams go on piece by piece, between orders."""
        while True:
            order = pipe.read(wait=not self.streams)
            if order is not None:
                self._do(order, pipe)
                continue
            for number, (stream, length) in list(self.streams.items()):
                self._go_on(number, stream, length, pipe)

    def _do(self, order: dict[str, Any], pipe: Pipe) -> None:
        number = order["id"]
        try:
            if order["do"] == "cancel":
                self.streams.pop(number, None)
            elif order["do"] == "stream":
                value = _decode(self.task, order["input"])
                stream = self.task.stream(self.model, value, **order["options"])
                self.streams[number] = iter(()) if stream is None else stream, self._length(value, order["options"])
            else:
                answer = self.attention(order) if order["do"] == "attention" else self.predict(order)
                pipe.write({"id": number, **answer})
        except Exception as error:  # whatever the version's code raises is an answer
            pipe.write({"id": number, **_failure(error)})

    def _go_on(self, number: int, stream: Any, length: dict[str, Any], pipe: Pipe) -> None:
        try:
            pipe.write({"id": number, "piece": next(stream)})
            return
        except StopIteration:
            pipe.write({"id": number, "end": True, **length})
        except Exception as error:
            pipe.write({"id": number, **_failure(error)})
        self.streams.pop(number, None)


def _unknown_share(tokenizer: Any, texts: list[str]) -> float | None:
    share = _function("tasks.self_check.unknown_share", "tasks.recorded.unknown_share")
    return float(share(tokenizer, texts)) if share else None


def _function(*names: str) -> Any:
    """The first of these functions that the version's code has, which may be of before a renaming; None if it has none."""
    for name in names:
        module, _, function = name.rpartition(".")
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            return getattr(importlib.import_module(module), function)
    return None


def _failure(error: Exception) -> dict[str, Any]:
    """A TrainingError means that the task cannot take these options or inputs."""
    asker = any(kind.__name__ == "TrainingError" for kind in type(error).__mro__)
    message = str(error) if asker else f"{type(error).__name__}: {error}"
    return {"error": message[:2000], "asker": asker}


def _decode(task: Any, value: str) -> Any:
    return base64.b64decode(value, validate=True) if task.input == "image" else value


def _encode(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """A value as plain JSON types: no NaN, no numpy types."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _forget_installed_code() -> None:
    """An installation of ours is on the path: a version that lacks a module must fail, not answer with another's."""
    ours = Path(__file__).resolve().parents[2]
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ours]


def main(folder: str) -> None:
    """Load, say so, and answer."""
    pipe = Pipe(os.dup(0), os.dup(1))
    _forget_installed_code()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what the model's code prints is no answer
    worker = Worker(Path(folder))
    pipe.write({"ready": True, **worker.about()})
    try:
        worker.serve(pipe)
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
