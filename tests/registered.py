"""Model versions for tests: evaluated and registered by the steps themselves."""

from artifacts import Output, durable, open_artifact
from steps import evaluate, register
from telemetry import Observe


def registered(client, root, patch, asked, name):
    """Evaluate and register; the artifact of the version."""
    config = evaluate.Config(**{key: str(a.path) for key, a in asked.items()}, bootstrap_samples=20, threads=1)
    output = Output("report", root / "work-report", step="evaluate", parents=asked, root=root)
    evaluate.run(config, asked, output, Observe.silent())
    durable.write_json(output.sidecar("made_by.json"), {"config": config.model_dump(mode="json")})
    inputs = {"checkpoint": asked["checkpoint"], "report": output.commit()}
    patch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)
    config = register.Config(**{key: str(a.path) for key, a in inputs.items()}, name=name)
    output = Output("model_version", root / "work", step="register", parents=inputs, root=root)
    register.run(config, inputs, output, Observe.silent())
    return open_artifact(output.commit().path)
