"""The road of pairs as a user walks it: the pipeline `tiny_dates`, its report, and its registered version, which answers."""

import json
import subprocess
import sys

import pytest

from tasks.lengths import COLUMNS
from tests.finished import finished_run

pytestmark = pytest.mark.slow
TINY_DATES = "tests/pipelines/tiny_dates.yaml"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    whole = finished_run(TINY_DATES)
    return whole.copy(tmp_path_factory.mktemp("tiny_dates")), whole.output


def test_run_output_shows_score_baselines_and_version(ran):
    home, output = ran
    for told in (
        "score     exact match",
        "the nearest training text's target",
        "dateutil, day before month",
        "glassformer-tiny-dates version 1 (challenger)",
        "report.html",
    ):
        assert told in output, told
    assert "Traceback" not in output
    assert set(home.plan(TINY_DATES)) == {"prepare_data", "train_tokenizer", "train", "evaluate", "register"}
    assert home.digests(TINY_DATES)


def test_report_has_labels_alignments_and_sources(ran):
    home, _ = ran
    (page,) = home.state.glob("artifacts/report/*/sidecars/report.html")
    html = page.read_text()
    for title in ("Labels", "Alignment 1", "Worst outputs", "The best of a beam", "Sources"):
        assert f">{title}</h2>" in html
    assert "Unicode-3.0" in html


def test_registered_version_answers_texts(ran, tmp_path):
    home, _ = ran
    code = (
        "import json, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('models:/glassformer-tiny-dates@challenger')\n"
        "asked = pd.DataFrame({'text': ['15 March 1850', '']})\n"
        "print(json.dumps(model.predict(asked).to_dict('list')))\n"
    )
    environment = home.environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    assert set(found) == {"prediction", "probability", *COLUMNS}
    assert len(found["prediction"]) == 2
