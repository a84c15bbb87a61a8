"""The server compared with `mlflow models serve`: same model, same texts, one machine, in turn.

    python -m benchmarks.serving [--model glassformer-docs] [--rounds 3] [--seconds 10] [--overload 60]

It needs a champion of the model in this store (`make run`). Both servers run throughout; only one is asked at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.backends import free_ports
from benchmarks.results import keep

CLIENTS, TEXTS = 32, 2000  # at once; of the test split
TIMES, CROWD = 4, 1000  # overload: so many times the capacity, from so many connections
_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts `uvicorn` by its name
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def main() -> None:
    """Measure, and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", default="glassformer-docs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--overload", type=float, default=60.0, help="seconds at four times the capacity, each round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = Path(work)
        texts = folder / "texts.json"
        texts.write_text(json.dumps(test_texts(options.model)))
        began = time.perf_counter()
        ours, process = stack.enter_context(serve(options.model, folder))
        ready = time.perf_counter() - began
        began = time.perf_counter()
        peer = stack.enter_context(mlflow_served(options.model, folder))
        peer_ready = time.perf_counter() - began
        for port in (ours, peer):
            load(port, texts, CLIENTS, 3)  # warm up
        one, many = in_turn(ours, peer, texts, 1, options), in_turn(ours, peer, texts, CLIENTS, options)
        broken = time_refusals(ours)
        crowd = overload(ours, process, texts, options)
        switch = time_switch(options.model, ours, process)
    tell(one, many, broken, crowd, switch, ready, peer_ready)


def test_texts(model: str) -> list[str]:
    """Texts of the test split of the corpus on which the champion was evaluated, evenly taken."""
    from mlflow.exceptions import MlflowException

    from artifacts.corpus import Corpus
    from artifacts.store import Store
    from deploy.store import connect

    try:
        tags = connect().get_model_version_by_alias(model, "champion").tags
    except MlflowException:
        raise SystemExit(f"{model} has no champion in this store: `make run` makes one") from None
    corpus = Store.default().find("corpus", tags["glassformer.corpus"])
    if corpus is None:
        raise SystemExit("the champion's corpus is not in this store any more; run its pipeline again")
    rows = [row["text"] for row in Corpus(corpus).rows("test", ["text"])]
    return rows[:: max(1, len(rows) // TEXTS)][:TEXTS]


@contextmanager
def serve(model: str, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Our server, ready."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "deploy.serving", model, "--port", str(port)]
    with start(command, folder / "ours.log", f"http://127.0.0.1:{port}/readyz") as process:
        yield port, process


@contextmanager
def mlflow_served(model: str, folder: Path) -> Iterator[int]:
    """MLflow's own, ready."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{model}@champion", "--env-manager", "local",
               "--port", str(port), "--host", "127.0.0.1"]  # fmt: skip
    with start(command, folder / "peer.log", f"http://127.0.0.1:{port}/ping"):
        yield port


@contextmanager
def start(command: list[str], log: Path, address: str) -> Iterator[psutil.Process]:
    """A process that is ready when its address answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **_QUIET, "PATH": _PATH}, start_new_session=True
        )
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command[1:4])} ended:\n{log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(address, timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started is of its group
        process.wait()


def load(port: int, texts: Path, clients: int, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """Measurements of a client process."""
    command = [sys.executable, "-m", "benchmarks.serving_load", str(port), str(texts), "--clients", str(clients),
               "--seconds", str(seconds), "--rate", str(rate)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def in_turn(
    ours: int, peer: int, texts: Path, clients: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Medians over the rounds, each asked in turn."""
    results: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for number in range(options.rounds):
        for name, port in (("ours", ours), ("peer", peer))[:: 1 if number % 2 else -1]:
            one = load(port, texts, clients, options.seconds)
            assert set(one["codes"]) == {"200"}, one
            results[name].append(one)
            late = f"p50 {1000 * one['p50']:.1f} ms, p99 {1000 * one['p99']:.0f} ms"
            print(f"  {clients:3} clients, {name}: {one['rate']:.0f} a second, {late}", flush=True)
    return {
        name: {key: statistics.median(one[key] for one in rounds) for key in ("rate", "p50", "p99")}
        for name, rounds in results.items()
    }


def time_refusals(port: int) -> float:
    """Seconds until a malformed request is rejected: the median of the slowest kind."""
    deep, text = b"[" * 1000 + b"]" * 1000, b'{"inputs": %b}'
    bodies = {
        "20 MB": text % (b'"' + b"a" * (20 << 20) + b'"'), "1,000 deep": text % deep, "NaN": text % b"NaN", "a number": text % b"1",
        "a long text": text % (b'"' + b"a" * 300_000 + b'"'), "not UTF-8": text % b'"\xff"', "half a body": text[:-1],
        "too many": text % (b"[" + b", ".join([b'"a"'] * 1000) + b"]"), "no such option": b'{"inputs": "a", "options": {"b": 1}}',
    }  # fmt: skip
    head = (
        "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    )
    medians = {}
    for name, body in bodies.items():
        times = []
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                began = time.perf_counter()
                with suppress(BrokenPipeError, ConnectionResetError):  # rejected before it had read all of it
                    connection.sendall(head.format(len(body)).encode() + body)
                reply = connection.recv(1000)
                times.append(time.perf_counter() - began)
            assert reply.startswith(b"HTTP/1.1 4"), (name, reply)
        medians[name] = statistics.median(times)
    slowest = max(medians, key=lambda name: medians[name])
    print(f"  refused: {slowest} takes longest, {1000 * medians[slowest]:.1f} ms", flush=True)
    return medians[slowest]


def overload(port: int, process: psutil.Process, texts: Path, options: argparse.Namespace) -> dict[str, float]:
    """Four times the capacity for a while: share answered, latency and memory. The capacity, with the number of clients that
    maximises it, is measured before and after each round, as the pace of a shared machine changes.
    """

    def capacity() -> float:
        return float(load(port, texts, 4 * CLIENTS, options.seconds)["rate"])

    load(port, texts, CROWD, options.overload / 6, TIMES * capacity())  # queues and pools reach their size
    memory, rounds = resident(process), []
    for _ in range(options.rounds):
        before = capacity()
        result = load(port, texts, CROWD, options.overload, TIMES * before)
        most = (before + capacity()) / 2
        rounds.append({"goodput": result["rate"] / most, "p99": result["p99"]})
        print(
            f"  overload: {result['rate']:.0f} of {most:.0f} a second, p99 {1000 * result['p99']:.0f} ms, {result['codes']}",
            flush=True,
        )
    return {key: statistics.median(one[key] for one in rounds) for key in ("goodput", "p99")} | {
        "memory": resident(process) / memory
    }


def time_switch(model: str, port: int, process: psutil.Process) -> dict[str, float]:
    """Time until another version answers, and memory with two versions loaded. The alias is restored."""
    from deploy.store import connect

    client = connect()
    champion = client.get_model_version_by_alias(model, "champion")
    alone = resident(process)
    copy = client.create_model_version(model, champion.source, champion.run_id, tags=dict(champion.tags))
    seconds = {}
    try:
        for name, number in (("new", copy.version), ("back", champion.version)):
            client.set_registered_model_alias(model, "champion", number)
            began = time.perf_counter()
            while answering(port) != str(number):
                time.sleep(0.01)
            seconds[name] = time.perf_counter() - began
            if name == "new":
                both = resident(process)
    finally:
        client.set_registered_model_alias(model, "champion", champion.version)
        client.delete_model_version(model, copy.version)
    return {**seconds, "alone": alone, "both": both}


def answering(port: int) -> str:
    """The version that answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/models", timeout=10) as answer:
        return str(next(one["version"] for one in json.load(answer)["versions"] if one["role"] == "champion"))


def resident(process: psutil.Process) -> float:
    """Memory of a process and its children, in MB; shared pages are counted once (PSS)."""
    total = sum(one.memory_full_info().pss for one in [process, *process.children(recursive=True)])
    return float(total) / 1e6


def tell(
    one: dict[str, Any],
    many: dict[str, Any],
    broken: float,
    crowd: dict[str, float],
    switch: dict[str, float],
    ready: float,
    peer_ready: float,
) -> None:
    """Keep the figures."""
    rate, p99 = many["ours"]["rate"] / many["peer"]["rate"], many["ours"]["p99"] / many["peer"]["p99"]
    alone = one["ours"]["p50"] / one["peer"]["p50"]
    figures = [
        (f"requests a second at {CLIENTS} clients, against `mlflow models serve`", round(rate, 2), "x",
         "at least 2, goal 5, at no worse p99", rate >= 2 and p99 <= 1),
        ("their 99th percentile against its", round(p99, 2), "x", "at most 1", p99 <= 1),
        ("median time of a request of one client against its", round(alone, 2), "x", "at most 1.0", alone <= 1),
        ("until a broken request is refused, the kind that takes longest", round(1000 * broken, 1), "ms", "at most 100", broken <= 0.1),
        (f"answered at {TIMES} times the capacity, of the capacity", round(100 * crowd["goodput"]), "%", "at least 80 %",
         crowd["goodput"] >= 0.8),
        ("99th percentile of what is answered then", round(crowd["p99"], 2), "s", "bounded: at most 2", crowd["p99"] <= 2),
        ("memory after it against before", round(crowd["memory"], 2), "x", "at most 1.1", crowd["memory"] <= 1.1),
        ("start to ready, against `mlflow models serve`", round(ready / peer_ready, 2), "x", "informational", True),
        ("from a new alias to its version's answers", round(switch["new"], 1), "s", "informational", True),
        ("from an alias that goes back to its version's answers", round(switch["back"], 1), "s", "informational", True),
        ("memory with two versions loaded against one", round(switch["both"] / switch["alone"], 2), "x", "informational", True),
    ]  # fmt: skip
    names = ("what", "value", "unit", "bar", "ok")
    keep("serving", "python -m benchmarks.serving", [dict(zip(names, one, strict=True)) for one in figures])


if __name__ == "__main__":
    main()
