"""A small world to back up: an MLflow store with runs, a model, its alias and tags, artifacts, and a home of ours."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from artifacts import atomic
from tests.pipeline_home import ROOT

# In processes of their own: MLflow keeps a database open, and a restore refuses while one does.
BUILD = """
import mlflow, sys
from mlflow import MlflowClient
client = MlflowClient()
open("model.py", "w").write('''
import mlflow
class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
mlflow.models.set_model(Model())
''')
for number in range(3):
    with mlflow.start_run(run_name=f"run {number}") as run:
        mlflow.log_params({"seed": number, "name": "it's a 'quoted' one"})
        mlflow.log_metric("score", number / 10)
        mlflow.log_text(f"text {number}", "notes/text.txt")
        if number == 2:
            logged = mlflow.pyfunc.log_model(name="model", python_model="model.py", pip_requirements=["mlflow"])
client.create_registered_model("m")
client.create_model_version("m", logged.model_uri, run.info.run_id, model_id=logged.model_id, tags={"glassformer.score": "0.2"})
client.set_registered_model_alias("m", "champion", "1")
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from artifacts import Output
from artifacts.runs import Run
from artifacts.store import Store
home = Path(sys.argv[2])
output = Output("corpus", home / "work" / "w", step="prepare_data", root=home)
output.file("rows.txt").write_text("rows")
made = output.commit()
store = Store(home)
store.keep({"step": "prepare_data", "fingerprint": "f" * 8, "finished_at": 1, "artifact": {
    "path": store.path_of(made), "kind": "corpus", "digest": made.digest}})
Run.start(home, "one", "tiny", sys.argv[3]).end("FINISHED")
"""
ASK = """
import json, mlflow
from mlflow import MlflowClient
client = MlflowClient()
champion = client.get_model_version_by_alias("m", "champion")
loaded = mlflow.pyfunc.load_model("models:/m@champion")
runs = client.search_runs(["0"], order_by=["attributes.start_time"])
print(json.dumps({"score": champion.tags["glassformer.score"], "run": champion.run_id, "answer": loaded.predict([1]),
    "texts": [mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/text.txt") for run in runs],
    "runs": [[run.info.run_id, run.data.params, run.data.metrics] for run in runs],
    "artifact_uris": [run.info.artifact_uri for run in runs]}))
"""


@dataclass
class World:
    """A folder with `mlflow.db` (or a database of PostgreSQL), `mlruns` and `var`."""

    folder: Path
    uri: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def home(self):
        return self.folder / "var"

    @property
    def tracking_uri(self):
        return self.uri or f"sqlite:///{self.folder}/mlflow.db"

    @property
    def environment(self):
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GLASSFORMER_", "PG"))
        }
        return kept | {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "GLASSFORMER_HOME": str(self.home),
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **dict(self.extra),
        }

    def python(self, code, *arguments):
        self.folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def build(self):
        self.python(BUILD, str(ROOT), str(self.home), self.tracking_uri)
        return self

    def ask(self):
        """The state as MLflow itself reads it, artifacts and the loaded model included."""
        return json.loads(self.python(ASK).splitlines()[-1])

    def backup(self, *arguments, code=0):
        """Run the program. Returns what it says: standard output, or its one line of error."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.backup", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        if code:
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert "Traceback" not in done.stderr
        return done.stderr.strip() if code else done.stdout

    def destroy(self):
        shutil.rmtree(self.folder)


def files_under(folder):
    """Name -> sha256 of all that a backup has to bring back, wherever it lies."""
    kept = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): atomic.sha256(file) for file in kept}


def dumped(database):
    """The whole database as SQL."""
    connection = sqlite3.connect(database)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
