"""Access to MLflow: quiet, within a bounded time, with one clear error. Loaded only where mlflow is needed."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import TemporaryError, UserError
from artifacts.home import home, use_default_store
from redaction import redact
from steps import tracking_store
from telemetry import Observe
from telemetry.endpoints import environment_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from telemetry.links import Links
    from telemetry.mlflow_metrics import Reading

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
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # it may say an hour; the two tries above are enough
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # its page shows trainings, not traces of agents
_OUTAGES = ("API request to", "too many 5", "Max retries", "database is locked", "OperationalError")


def prepare_environment() -> None:
    """Set the above for this process and its children, and where runs are recorded when a stack in Docker runs.

    What the user has set stays. A run that `mlflow run` has made is where it has made it. UserError for an address that
    names no store.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    store = environment_of(home() / "outbox").get("MLFLOW_TRACKING_URI")
    if store and "MLFLOW_RUN_ID" not in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = store
    use_default_store()
    tracking_store.check_address(os.environ.get("MLFLOW_TRACKING_URI", ""))


def connect() -> MlflowClient:
    """A client of the tracking store, once it has answered. UserError or TemporaryError within 15 s when it cannot be used."""
    prepare_environment()
    from mlflow import MlflowClient, get_tracking_uri

    _quieten()
    uri = get_tracking_uri()
    tracking_store.check(uri)
    _make_whole(uri)
    with outages_explained():
        client = MlflowClient()
        if not uri.startswith(("http://", "https://")):  # a server has answered just now
            client.search_experiments(max_results=1)
    return client


def experiment(client: MlflowClient, pipeline: str = "") -> str:
    """The id of the experiment for new runs: that of MLFLOW_EXPERIMENT_NAME, or of MLFLOW_EXPERIMENT_ID, else the pipeline's
    own, `glassformer-PIPELINE`; of a step by hand MLflow's default. A named one is created if it is missing.
    UserError if it is deleted or not there."""
    from mlflow.exceptions import MlflowException

    name, number = os.environ.get("MLFLOW_EXPERIMENT_NAME", ""), os.environ.get("MLFLOW_EXPERIMENT_ID", "")
    if pipeline and not name and not number:
        name = f"glassformer-{pipeline}"
    if name:
        known = client.get_experiment_by_name(name)
        if known is None and not number:
            try:
                return str(client.create_experiment(name, tags=_KIND))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another first run was quicker
                    raise
                known = client.get_experiment_by_name(name)
        if number and (known is None or number != known.experiment_id):
            there = f"experiment {known.experiment_id}" if known else "not there"
            raise UserError(
                f"MLFLOW_EXPERIMENT_NAME={name} is {there}, but MLFLOW_EXPERIMENT_ID={number}; set one of them", 2
            )
    else:
        try:
            known = client.get_experiment(number or "0")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            remedy = "name one that is there" if number else "name another by MLFLOW_EXPERIMENT_NAME"
            raise UserError(f"MLFLOW_EXPERIMENT_ID={number or 0}: there is no such experiment; {remedy}", 2) from None
    if known.lifecycle_stage != "active":
        raise UserError(
            f"experiment {known.name!r} is deleted; `mlflow experiments restore -x {known.experiment_id}` brings it back, or "
            "name another by MLFLOW_EXPERIMENT_NAME"
        )
    return str(known.experiment_id)


def stay_in(experiment_id: str) -> None:
    """Make this experiment that of all that this process starts: a run that `mlflow run` has made may be in another one
    than MLFLOW_EXPERIMENT_NAME says."""
    os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
    os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id


def _make_whole(uri: str) -> None:
    """Create a new sqlite store next to its place, and move it there when it is complete.

    MLflow makes its tables one after another: killed meanwhile, it would leave a file that nothing opens any more, and
    several first starts at once would stand in each other's way.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or "?" in uri or path.exists() or not path.parent.is_dir():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        store = Path(folder) / path.name
        # As MLflow's own
        artifacts = os.environ.get("_MLFLOW_SERVER_ARTIFACT_ROOT", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
        SqlAlchemyStore(f"sqlite:///{store}", artifacts).engine.dispose()
        with suppress(FileExistsError):  # another first start was quicker
            os.link(store, path)


@contextmanager
def outages_explained() -> Iterator[None]:
    """Turn errors of MLflow and of the database into one line: a TemporaryError if trying again may help, else a
    UserError (credentials refused, an address or a name that is not there)."""
    try:
        yield
    except Exception as error:
        if explained := _explain_error(error):
            raise explained from error
        raise


def sender(client: MlflowClient, run_id: str) -> Callable[[list[Reading]], None]:
    """Sends a batch of readings to a run, for `telemetry.mlflow_metrics.Courier`."""

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
    from telemetry.mlflow_metrics import Courier

    client = connect()
    launched = os.environ.get("MLFLOW_RUN_ID")
    if launched:
        run_id = launched
    else:
        with outages_explained():
            run_id = client.create_run(experiment(client), run_name=step).info.run_id
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
        if not launched:
            del os.environ["MLFLOW_RUN_ID"]  # it ended: what this process does next is no part of it


def _quieten() -> None:
    """Silence MLflow's messages on each table and command; a failed step has reported its error already."""
    import logging

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.projects").setLevel(logging.CRITICAL)


def _explain_error(error: Exception) -> Exception | None:
    """Message for an error of the tracking store; None for other errors."""
    names = {kind.__name__ for kind in type(error).__mro__}
    uri, text = os.environ.get("MLFLOW_TRACKING_URI", ""), str(error)
    where, line = redact(uri or "MLflow's store"), redact(" ".join(text.split())[:200])
    if "MlflowException" in names:
        status = re.search(r"failed with error code (40[13])\b", text)
        if status or getattr(error, "error_code", "") in (
            "UNAUTHENTICATED",
            "CUSTOMER_UNAUTHORIZED",
            "PERMISSION_DENIED",
        ):
            return tracking_store.credentials_error(uri, int(status[1]) if status else 403)
        if "UnsupportedModelRegistryStoreURIException" in names:
            return UserError(
                f"MLFLOW_TRACKING_URI={where}: no store that MLflow knows; write sqlite:///, postgresql:// or https://",
                2,
            )
        if "out-of-date database schema" in text or "Can't locate revision" in text:
            return UserError(
                f"{where}: its tables are of another MLflow ({line}); `mlflow db upgrade URI` brings them up to date"
            )
        if not any(sign in text for sign in _OUTAGES):
            return None
    elif names & {"OperationalError", "DatabaseError"}:
        return tracking_store.database_explained(str(where), error)
    elif not names & {"ConnectionError", "Timeout", "HTTPError"}:
        return None
    return TemporaryError(f"{where} does not answer ({line}); check the server or MLFLOW_TRACKING_URI")
