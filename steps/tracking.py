"""How we reach MLflow: quietly, within a bounded time, with one clear error. Loaded only where mlflow is needed."""

from __future__ import annotations

import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.home import home
from steps.contract import TemporaryError
from telemetry import Observe
from telemetry.endpoints import environment_of
from telemetry.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from telemetry.feed import Reading
    from telemetry.links import Links

# Nothing phones home, nothing is unpickled, and a dead server is noticed in seconds (its default is four minutes).
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_OTLP_EXPORTER": "false",  # OTEL_EXPORTER_OTLP_* are for our outbox, not for MLflow's own traces
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_ANSWER_WITHIN = 5.0  # seconds, for the first call to a tracking server


def prepare_environment() -> None:
    """Set the above for this process and its children, and where runs are recorded when a stack in Docker runs.

    What the user has set stays. A run that `mlflow run` has made is where it has made it.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    store = environment_of(home() / "outbox").get("MLFLOW_TRACKING_URI")
    if store and "MLFLOW_RUN_ID" not in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = store


def connect() -> MlflowClient:
    """A client of the tracking store, once it has answered. TemporaryError within 15 s when it does not."""
    prepare_environment()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        _check_answers(uri)
    from mlflow import MlflowClient, get_tracking_uri

    _quieten()
    _make_whole(get_tracking_uri())
    client = MlflowClient()
    with outages_explained():
        client.get_experiment("0")
    return client


def _make_whole(uri: str) -> None:
    """Make a new sqlite store beside its place, and put it there when it is whole.

    MLflow makes its tables one after another: killed meanwhile, it would leave a file that nothing opens any more, and
    several first starts at once would stand in each other's way.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or "?" in uri or path.exists() or not path.parent.is_dir():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        SqlAlchemyStore(f"sqlite:///{made}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
        with suppress(FileExistsError):  # another first start was quicker
            os.link(made, path)


@contextmanager
def outages_explained() -> Iterator[None]:
    """Turn MLflow's and the database's errors of reachability into a TemporaryError that says what to check."""
    try:
        yield
    except Exception as error:
        if not _is_outage(error):
            raise
        where = redact(os.environ.get("MLFLOW_TRACKING_URI") or "MLflow's store")
        line = redact(" ".join(str(error).split())[:200])
        raise TemporaryError(f"{where} does not answer ({line}); check the server or MLFLOW_TRACKING_URI") from error


def sender(client: MlflowClient, run_id: str) -> Callable[[list[Reading]], None]:
    """Sends a batch of readings to a run, for `telemetry.feed.Courier`."""

    def send(readings: list[Reading]) -> None:
        from mlflow.entities import Metric

        client.log_batch(run_id, metrics=[Metric(r.key, r.value, r.time_ms, r.update) for r in readings])

    return send


def log_parameters(client: MlflowClient, run_id: str, parameters: Mapping[str, Any]) -> None:
    """Log parameters in batches of MLflow's size, values redacted and cut to its limit."""
    from mlflow.entities import Param

    shown = [Param(name, str(redact(value))[:6000]) for name, value in parameters.items()]
    for start in range(0, len(shown), 100):
        client.log_batch(run_id, params=shown[start : start + 100])


@contextmanager
def by_hand(step: str, parameters: Mapping[str, Any], feed: Path, links: Links, observe: Observe) -> Iterator[None]:
    """The MLflow run of a step that no pipeline started: `mlflow run -e` has made one, else it is made here."""
    from telemetry.feed import Courier

    client = connect()
    launched = os.environ.get("MLFLOW_RUN_ID")
    if launched:
        run_id = launched
    else:
        run_id = client.create_run("0", run_name=step).info.run_id
        os.environ["MLFLOW_RUN_ID"] = run_id
        log_parameters(client, run_id, parameters)
    about = (feed.parent.name, observe.trace_id, time.time())
    tags = {"step": step, "trace_id": observe.trace_id, **links.tags(*about)}
    for key, value in tags.items():
        client.set_tag(run_id, f"glassformer.{key}", value)
    if note := links.as_markdown(*about):
        client.set_tag(run_id, "mlflow.note.content", note)
    courier = Courier(
        feed, sender(client, run_id), lambda text: observe.log("tracking.unreachable", text, level="warning")
    )
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except BaseException as error:
        status = "KILLED" if type(error).__name__ in ("Interrupted", "KeyboardInterrupt") else "FAILED"
        raise
    finally:
        if left := courier.close(10.0):
            observe.log(
                "tracking.undelivered", f"{left} metrics are not in MLflow; they are in {feed}", level="warning"
            )
        if not launched or status == "KILLED":
            client.set_terminated(run_id, status, int(time.time() * 1000))


def _quieten() -> None:
    """MLflow tells of each table it creates and each command it runs; a failed step has said what was wrong."""
    import logging

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.projects").setLevel(logging.CRITICAL)


def _check_answers(uri: str) -> None:
    """One plain request: MLflow's own client would try for minutes."""
    request = urllib.request.Request(f"{uri.rstrip('/')}/health", headers={"User-Agent": "glassformer"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN):  # noqa: S310 - http and https only, see connect
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return  # a proxy may guard /health; the calls that follow will say what they need
        problem = f"answers {error.code}"
    except OSError as error:
        problem = f"does not answer ({getattr(error, 'reason', None) or error})"
    raise TemporaryError(f"tracking server {redact(uri)} {problem}; start it, or check MLFLOW_TRACKING_URI")


def _is_outage(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ConnectionError", "Timeout", "HTTPError", "OperationalError"}:
        return True
    text = str(error)
    return "MlflowException" in names and any(
        sign in text
        for sign in ("API request to", "too many 5", "Max retries", "database is locked", "OperationalError")
    )
