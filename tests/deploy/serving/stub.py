"""Model versions whose code is a few lines, a registry on a shelf, and a server in a thread: seconds become milliseconds.

What the server and its workers do is the real thing; only the model behind `tasks.load` is made up. The label that a
version answers with is in its checkpoint, so another checkpoint answers otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import urllib3

from artifacts import atomic, model_files
from deploy.serving import ServingError, VersionError
from deploy.serving.__main__ import bind
from deploy.serving.lifecycle import Plan, run
from deploy.serving.registry import AwayError
from deploy.serving.version import RegisteredVersion
from tests.small_training import Recording

KINDS = {
    "classification": ("text", "classify"),
    "causal_lm": ("text", "generate"),
    "image_classification": ("image", "images"),
}

_CODE = {
    "artifacts/__init__.py": "",
    "artifacts/checkpoint.py": (
        "import json\n\nclass Checkpoint:\n    def __init__(self, folder):\n        self.folder = folder\n"
        "        self.told = json.loads((folder / 'model.json').read_text())\n"
    ),
    "training/__init__.py": "",
    "training/errors.py": "class TrainingError(Exception):\n    pass\n",
    "tasks/model.py": (
        "from types import SimpleNamespace\n\nclass Tokenizer:\n    def encode_batch(self, texts):\n"
        "        return [[7] * (1 + len(text) // 4) for text in texts]\n\ndef load_model(checkpoint):\n"
        "    config = SimpleNamespace(max_length=64, summary=lambda: 'stub')\n"
        "    return SimpleNamespace(task=checkpoint.told['task'], told=checkpoint.told, config=config, tokenizer=Tokenizer(),\n"
        "                           settings={'labels': ['a', 'b', checkpoint.told['label']]})\n"
    ),
    "tasks/task.py": "class Task:\n    def stream(self, model, given, **options):\n        return None\n",
    "tasks/self_check.py": (
        "def unknown_share(tokenizer, texts):\n    return sum('\\u2603' in text for text in texts) / len(texts)\n"
    ),
    "tasks/attention.py": (
        "from types import SimpleNamespace\n\ndef attention_of(model, text):\n"
        "    return SimpleNamespace(tokens=['a', 'b'], maps={'layer 1, head 1': [[0.9, 0.1], [0.2, 0.8]]}, note='two tokens')\n"
    ),
    "tasks/__init__.py": """
import os, signal, time
from tasks.task import Task
from training.errors import TrainingError

class Options:
    @staticmethod
    def model_json_schema():
        return {"properties": {"loud": {"type": "boolean", "default": False}}}

class Stub(Task):
    def __init__(self, name, column, endpoint):
        self.name, self.title, self.input, self.endpoint, self.PredictOptions = name, "", column, endpoint, Options

    def example(self):
        return ({self.input: [b"a picture", b"b"] if self.input == "image" else ["one", "two"]}, {})

    def predict(self, model, inputs, **options):
        if set(options) - {"loud"}:
            raise TrainingError("options of stub: " + ", ".join(sorted(set(options) - {"loud"})))
        time.sleep(model.told["seconds"])
        for one in inputs:
            if one == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            while str(one).startswith("until ") and not os.path.exists(one[6:]):
                time.sleep(0.01)
            if one == "hang":
                time.sleep(3600)
            if one == "raise":
                raise RuntimeError("a bug")
            if one == b"no picture":
                raise TrainingError("image 1 is no image")
            if model.told["broken"] == "hangs":
                time.sleep(3600)
            if model.told["broken"] == "raises":
                raise RuntimeError("always a bug")
        label = model.told["label"].upper() if options.get("loud") else model.told["label"]
        return Frame(prediction=[label] * len(inputs), probability=[0.5 + 0.001 * (len(one) % 100) for one in inputs])

class Continuing(Stub):
    def stream(self, model, given, **options):
        for word in str(given).split():
            time.sleep(model.told["seconds"])
            yield word + " "

class Column(list):
    def tolist(self):
        return list(self)

class Frame(dict):
    def __getitem__(self, name):
        return Column(super().__getitem__(name))

KINDS = {"classification": ("text", "classify"), "causal_lm": ("text", "generate"), "image_classification": ("image", "images")}

def load(name):
    return (Continuing if name == "causal_lm" else Stub)(name, *KINDS[name])
""",
}

_LENGTHS = {
    "tasks/lengths.py": (
        "def measured(task, model, inputs, options):\n    lengths = task.lengths(model, inputs, options)\n"
        "    columns = {'truncated': [one.truncated for one in lengths], 'tokens_read': [one.read for one in lengths],\n"
        "               'tokens_given': [one.given for one in lengths]}\n"
        "    return task.predict(model, inputs, **options), columns\n"
    ),
    "tasks/task.py": (
        "from types import SimpleNamespace\n\nclass Task:\n    def stream(self, model, given, **options):\n        return None\n\n"
        "    def lengths(self, model, inputs, options):\n"
        "        given = [len(ids) for ids in model.tokenizer.encode_batch(inputs)]\n        room = model.told['reads']\n"
        "        return [SimpleNamespace(given=n, read=min(n, room), truncated=n > room) for n in given]\n"
    ),
}


def make(
    shelf: Path, number: int, *, task: str = "classification", label: str = "", seconds: float = 0.0, broken: str = "",
    profile: Mapping[str, Any] | None = None, reads: int = 0,
) -> RegisteredVersion:  # fmt: skip
    """A version's files below `shelf`, and what the registry would say of it."""
    folder = shelf / str(number)
    told = {"task": task, "label": label or f"v{number}", "seconds": seconds, "broken": broken}
    told |= {"reads": reads}
    code = _CODE | (_LENGTHS if reads else {})  # without it, a version registered before lengths were told
    files = {f"code/{name}": text for name, text in code.items()}
    files |= {"model.py": "# MLflow's\n", "artifacts/checkpoint/model.json": json.dumps(told)}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    column, _ = KINDS[task]
    questions = ["a", "text", "\u2603"] if column == "text" else ["YQ=="]
    sizes = [len(text) for text in questions] if column == "text" else [1]
    answers = {"prediction": [told["label"]] * len(questions), "probability": [0.5 + 0.001 * size for size in sizes]}
    atomic.write_json(folder / model_files.ANSWERS, {
        "input": column, "options": {}, "questions": questions, "answers": answers, "profile": dict(profile or {}),
    })  # fmt: skip
    tags = {
        "checkpoint": model_files.checkpoint_digest(folder), "code": model_files.code_digest(folder),
        "recorded": model_files.recorded_digest(folder), "task": task, "metric": "macro_f1", "score": "0.5", "gate": "promote",
        "trace_id": "ab" * 16, "span_id": "cd" * 8,
    }  # fmt: skip
    return RegisteredVersion(
        "stub", str(number), f"run{number}", {f"glassformer.{k}": v for k, v in tags.items()}, folder, 1.0
    )


@dataclass
class Shelf:
    """Stands in for the registry: what it says can be changed while the server asks."""

    folder: Path
    name: str = "stub"
    named: dict[str, str] = field(default_factory=dict)
    made: dict[str, RegisteredVersion] = field(default_factory=dict)
    away: bool = False
    kept: str = ""
    asked: int = 0
    fetched: list[str] = field(default_factory=list)

    def add(self, number: int, **options: Any) -> RegisteredVersion:
        """Register a version."""
        self.made[str(number)] = known = make(self.folder, number, **options)
        return known

    def aliases(self, wanted: Any) -> dict[str, str]:
        self.asked += 1
        if self.away:
            raise AwayError("connection refused")
        return {alias: self.named[alias] for alias in wanted if alias in self.named}

    def fetch(self, number: str) -> RegisteredVersion:
        if self.away:
            raise AwayError("connection refused")
        self.fetched.append(number)
        if number not in self.made:
            raise VersionError("is not in the registry any more")
        return self.made[number]

    def last(self) -> RegisteredVersion | None:
        return self.made.get(self.kept)

    def remember(self, known: RegisteredVersion, loaded: Any) -> None:
        self.kept = known.number


class Running:
    """A server that runs in a thread, and a client of it."""

    def __init__(self, plan: Plan) -> None:
        self.observe, self.address, self.error = Recording(), "", None
        self._plan, self._said = plan, threading.Event()
        self._listening = bind("127.0.0.1", 0)
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pool = urllib3.HTTPConnectionPool("127.0.0.1", self.port, maxsize=64, retries=False, timeout=30)

    def _run(self) -> None:
        async def serve() -> None:
            self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
            try:
                await run(self._plan, self._listening, self.observe, self._ending, self._say)
            except ServingError as error:
                self.error = str(error)
            finally:
                self._said.set()

        asyncio.run(serve())

    def _say(self, line: str) -> None:
        self.address = line
        self._said.set()

    def start(self) -> Running:
        self._thread.start()
        assert self._said.wait(30)
        return self

    def end(self) -> None:
        """As SIGTERM would."""
        self.pool.close()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.pool.request("GET", path, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pool.request("POST", path, body=data, headers={"content-type": "application/json", **headers})

    def asks(self, text: str = "a text", **headers: str) -> tuple[int, str]:
        """Status, and the version that answered."""
        answer = self.post("/v1/classify", {"inputs": text}, **headers)
        return answer.status, answer.headers.get("x-model-version", "")

    def told(self, event: str) -> list[str]:
        """The messages logged."""
        return [message for _, message in self.observe.of(event)]

    def models(self) -> dict[str, Any]:
        return dict(self.get("/models").json())

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, by all that stands before it; 0 where there is none."""
        for one in self.get("/metrics").data.decode().splitlines():
            if one.startswith(f"{line} "):
                return float(one.rpartition(" ")[2])
        return 0.0


def connected(server: Running) -> socket.socket:
    """A plain connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


@contextlib.contextmanager
def asked_all_the_time(ask: Callable[[], Any], threads: int) -> Iterator[list[Any]]:
    """Within, so many threads ask again and again; what they were answered."""
    answers: list[Any] = []
    ending = threading.Event()

    def go_on() -> None:
        while not ending.is_set():
            answers.append(ask())

    asking = [threading.Thread(target=go_on) for _ in range(threads)]
    for one in asking:
        one.start()
    try:
        yield answers
    finally:
        ending.set()
        for one in asking:
            one.join()


@contextlib.contextmanager
def served(shelf: Shelf, tmp_path: Path, **changes: Any) -> Iterator[Running]:
    """A server of this shelf. `changes`: fields of Limits, Wanted, Access, and log_requests."""
    from deploy.serving.access import Access
    from deploy.serving.limits import Limits
    from deploy.serving.loaded_versions import ServingOptions

    limits = Limits(poll=0.05, drain=0.02)
    parts: dict[str, Any] = {"limits": limits, "wanted": ServingOptions(), "access": Access()}
    for name, value in changes.items():
        for part, given in parts.items():
            if name in given.__dataclass_fields__:
                parts[part] = replace(given, **{name: value})
                break
        else:
            parts[name] = value
    running = Running(Plan(shelf, tmp_path / "logs", **parts)).start()  # type: ignore[arg-type]  # a Shelf stands in for a Registry
    try:
        yield running
    finally:
        running.end()
