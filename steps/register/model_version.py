"""A model version in MLflow's registry: the model from code, its card, tags, data sets, metrics and alias."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.artifact import git_commit
from artifacts.checkpoint import Checkpoint
from artifacts.home import CHECKOUT
from artifacts.model_files import code_digest
from models.config import ModelConfig
from redaction import redact
from steps import tracking
from tasks import lengths, load

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from artifacts import Artifact
    from artifacts.report import Report
    from steps.register.config import Config
    from telemetry import Observe

_CODE = ("artifacts", "models", "redaction", "tasks", "telemetry", "training")
_NEEDED = (
    "mlflow",
    "numpy",
    "pandas",
    "psutil",
    "pyarrow",
    "pydantic",
    "safetensors",
    "sentencepiece",
    "torch",
    "tqdm",
)
_DESCRIPTION = 4900  # characters; MLflow's column has 5,000
_LONGEST_TAG = 500


def registered_version(config: Config, checkpoint: Artifact, report: Report, observe: Observe) -> dict[str, Any]:
    """Name, number, run and address of the version of this checkpoint and report, registered now if need be."""
    with observe.phase("open"):
        client = tracking.connect()
    tags = _tags(checkpoint, report, observe)
    with tracking.outages_explained():
        known = _find_version(client, config.name, tags)
        if known is None:
            with observe.phase("log_model"), warnings.catch_warnings(record=True):
                # Kept from the user: MLflow warns of missing type hints (we give the signature), of its own hints as it
                # is imported, and calls pandas in ways that pandas warns of.
                warnings.simplefilter("always")
                known = _register(client, config, checkpoint, report, tags)
        client.set_registered_model_alias(config.name, config.alias, known.version)
    return {
        "name": config.name,
        "version": int(known.version),
        "run_id": known.run_id,
        "uri": f"models:/{config.name}/{known.version}",
    }


def _tags(checkpoint: Artifact, report: Report, observe: Observe) -> dict[str, str]:
    metric, score = report.primary
    # Pretraining may have had another corpus than the last one, on which the model is evaluated.
    digests = {entry["kind"]: entry["digest"] for entry in checkpoint.lineage if entry["kind"] == "tokenizer"}
    digests["corpus"] = report.data["corpus"]
    task = Checkpoint(checkpoint).task
    return {
        "glassformer.checkpoint": checkpoint.digest,
        "glassformer.report": report.artifact.digest,
        **{f"glassformer.{kind}": digest for kind, digest in digests.items()},
        "glassformer.baselines": json.dumps(report.baselines, sort_keys=True),
        "glassformer.metric": metric,
        "glassformer.score": repr(score),
        "glassformer.higher_is_better": str(report.scores["higher_is_better"]).lower(),
        "glassformer.unit": load(task).metric_unit,
        "glassformer.task": task,
        "glassformer.framework": "" if (framework := Checkpoint(checkpoint).framework) == "torch" else framework,
        "glassformer.trace_id": observe.trace_id,
        "glassformer.commit": git_commit() or "unknown",
        "glassformer.licence": str(redact(report.data["license"]))[:_LONGEST_TAG],
        "glassformer.lineage": _lineage(checkpoint, report),
        "glassformer.span_id": observe.span_id,
        "glassformer.recorded": atomic.sha256(report.artifact.file("recorded.json")),
    }


def _lineage(checkpoint: Artifact, report: Report) -> str:
    """Kind, digest and step of each artifact it was made from, and of the corpus on which it was evaluated."""
    entries = [[entry["kind"], entry["digest"], entry["step"]] for entry in checkpoint.lineage]
    if report.data["corpus"] not in {digest for _, digest, _ in entries}:
        entries.append(["corpus", report.data["corpus"], "prepare_data"])
    return json.dumps(entries)


def _find_version(client: MlflowClient, name: str, tags: dict[str, str]) -> Any:
    """A version of this very content; a run that was killed after registering left one."""
    keys = ("glassformer.checkpoint", "glassformer.report")
    versions = client.search_model_versions(f"name='{name}'")
    same = [
        version
        for version in versions
        if version.status == "READY" and all(version.tags.get(key) == tags[key] for key in keys)
    ]
    return min(same, key=lambda version: int(version.version)) if same else None


def _register(client: MlflowClient, config: Config, checkpoint: Artifact, report: Report, tags: dict[str, str]) -> Any:
    import pandas as pd
    from mlflow.models import infer_signature
    from mlflow.pyfunc import log_model

    task = load(Checkpoint(checkpoint).task)
    asked, columns = task.example()
    example, answered = pd.DataFrame(asked), pd.DataFrame({**columns, **lengths.example(task)})
    needed = sorted({*_NEEDED, *task.packages})
    # Request parameters in addition to the inputs: the task's own options, with their defaults.
    params = task.PredictOptions().model_dump(exclude_none=True) or None
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "checkpoint"
        for name in checkpoint.files():
            (plain / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkpoint.file(name), plain / name)
        recorded = Path(folder) / "recorded"
        recorded.mkdir()
        shutil.copyfile(report.artifact.file("recorded.json"), recorded / "recorded.json")
        card = Path(folder) / "model_card.md"
        card.write_text(model_card(config, checkpoint, report), encoding="utf-8")
        run_id = os.environ["MLFLOW_RUN_ID"]
        with _resume_run(run_id):
            _log_data(checkpoint, report)
            client.log_artifact(run_id, str(card))
            logged = log_model(
                name="model",
                python_model=str(CHECKOUT / "deploy" / "model.py"),
                artifacts={"checkpoint": str(plain), "recorded": str(recorded)},
                code_paths=[str(CHECKOUT / name) for name in _CODE],
                signature=infer_signature(example, answered, params),
                input_example=example,
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in needed],
                metadata={key: value for key, value in tags.items() if value},
            )
            for name, found in report.scores["metrics"].items():
                client.log_metric(run_id, f"{report.scores['split']}.{name}", found["value"])
        _make_registered_model(client, config.name)
        tags = {**tags, "glassformer.code": _code_of(logged.model_uri, Path(folder) / "logged")}
        return client.create_model_version(
            config.name,
            logged.model_uri,
            run_id,
            tags={key: value for key, value in tags.items() if value},
            description=description_of(card.read_text(encoding="utf-8")),
            model_id=logged.model_id,
        )


def _code_of(uri: str, into: Path) -> str:
    """The digest of the code that MLflow has logged, by which the gate knows it again."""
    from mlflow import artifacts

    into.mkdir()
    return code_digest(Path(artifacts.download_artifacts(uri, dst_path=str(into))))


@contextmanager
def _resume_run(run_id: str) -> Iterator[None]:
    """The run as MLflow's active one. Its creator (the driver, or `mlflow run`) also ends it, so its end here is
    taken back, and so is MLflow's removal of its id from the environment."""
    import mlflow

    try:
        with mlflow.start_run(run_id=run_id):
            yield
        mlflow.MlflowClient().update_run(run_id, status="RUNNING")
    finally:
        os.environ["MLFLOW_RUN_ID"] = run_id


def _make_registered_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _log_data(checkpoint: Artifact, report: Report) -> None:
    """Tell MLflow which data it was: by digest, source and size, without copying any of it."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    corpus = report.data["corpus"]
    for split, context in (("train", "training"), ("validation", "validation"), (report.scores["split"], "evaluation")):
        about = {"source": report.data["source"], "license": report.data["license"], "rows": report.data["rows"][split]}
        # MLflow keeps 36 characters of a digest.
        data = MetaDataset(
            CodeDatasetSource(tags=about | {"corpus": corpus}), name=f"corpus-{split}", digest=corpus[:36]
        )
        mlflow.log_input(data, context=context)


def model_card(config: Config, checkpoint: Artifact, report: Report) -> str:
    """Model card (Mitchell et al. 2019): description, origins, scores, and uses that it is not made for."""
    scores, about = report.scores, Checkpoint(checkpoint)
    rows = [("this model", scores["metrics"]), *scores["baselines"].items()]
    names, task = list(scores["metrics"]), load(about.task)
    options, answers = list(task.PredictOptions.model_fields), [*task.example()[1], *lengths.example(task)]
    lines = [
        f"# {config.name}", "",
        f"A {ModelConfig(**about.config).summary()}, for the task `{about.task}`, trained by Glassformer.", "",
        "## Score", "", f"On {scores['rows']:,} rows of the {scores['split']} split.", "",
        f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}",
        *(f"| {name} | {' | '.join(_score(found.get(metric)) for metric in names)} |" for name, found in rows), "",
        "## Data", "", f"Source: {report.data['source']}. Licence: {report.data['license']}.",
        *([", ".join(f"{part['name']} {part['version']} ({part['license']})" for part in report.data["parts"])]), "",
        f"Duplicates across splits: {report.data['leak_check']['duplicates_across_splits']}.", "",
        "## Use", "", f"Give it a column `{task.input}`; it answers with {_join_names(answers)}. It knows nothing "
        f"beyond {task.input}s like those of its training data; look at the report's worst errors before you rely on it.", "",
        *([f"A request may set {_join_names(options)} (MLflow's `params`).", ""] if options else []),
        "## Made from", "", *(f"- {entry['kind']} `{entry['digest']}` by {entry['step']}" for entry in checkpoint.lineage),
    ]  # fmt: skip
    return str(redact("\n".join(lines)))


def description_of(card: str) -> str:
    """The card as a version's description, cut at a line where a database would refuse it."""
    if len(card) <= _DESCRIPTION:
        return card
    return f"{card[:_DESCRIPTION].rpartition(chr(10))[0]}\n\nThe whole card is `model_card.md` of the run."


def _join_names(names: Iterable[str]) -> str:
    *most, last = [f"`{name}`" for name in names]
    return f"{', '.join(most)} and {last}" if most else last


def _score(found: dict[str, float] | None) -> str:
    if found is None:  # a baseline may be without a metric
        return "none"
    return (
        f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if "low" in found else f"{found['value']:.3f}"
    )
