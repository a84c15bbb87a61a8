"""Model versions for tests: evaluated and registered by the steps themselves."""

from contextlib import contextmanager

import pytest

import tests.small_corpus as small
from artifacts import Output, atomic, open_artifact
from steps.step import load_step
from telemetry import Observe
from tests.mlflow_home import own_store

evaluate = load_step("evaluate")
register = load_step("register")


@contextmanager
def home(tmp_path_factory, rows):
    """A store and a home of their own, with a corpus of so many rows and its tokenizer: client, root, patch, these two."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        client = own_store(tmp_path_factory.mktemp("mlflow"), patch)
        patch.setenv("GLASSFORMER_HOME", str(root))
        corpus = small.make_corpus(root, rows=rows)
        yield client, root, patch, {"corpus": corpus, "tokenizer": small.make_tokenizer(root, corpus)}


def registered(client, root, patch, asked, name):
    """Evaluate and register; the artifact of the version."""
    config = evaluate.Config(**{key: str(a.path) for key, a in asked.items()}, bootstrap_samples=20)
    output = Output("report", root / "work-report", step="evaluate", parents=asked, root=root)
    evaluate.run(config, asked, output, Observe.silent())
    atomic.write_json(output.sidecar("made_by.json"), {"config": config.model_dump(mode="json")})
    inputs = {"checkpoint": asked["checkpoint"], "report": output.commit()}
    patch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)
    config = register.Config(**{key: str(a.path) for key, a in inputs.items()}, name=name)
    output = Output("model_version", root / "work", step="register", parents=inputs, root=root)
    register.run(config, inputs, output, Observe.silent())
    return open_artifact(output.commit().path)
