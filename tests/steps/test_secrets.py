"""Fifty secrets around a step and a pipeline, in its errors too: none is in a file, MLflow's database, a log or on the terminal."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import warnings

import pytest

from steps import tracking, wrapper
from steps.step import load_step
from tests.pipeline_home import ROOT

prepare_data = load_step("prepare_data")

ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "CANARY01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "HF_TOKEN": "CANARY02hf", "DB_PASSWORD": "CANARY03pw",
    "GITHUB_TOKEN": "CANARY04gh", "SMTP_PASS": "CANARY05smtp", "GITHUB_PAT": "CANARY06pat", "JWT": "CANARY07jwt",
    "SLACK_WEBHOOK": "https://hooks.slack.test/services/T0/B0/CANARY08slack", "BEARER": "CANARY09bearer",
    "MYSQL_ROOT_PW": "CANARY10pw",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "authorization=Bearer CANARY11hdr,x-scope-orgid=CANARY12org",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://user:CANARY13pw@127.0.0.1:9/otlp/v1/logs",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces?token=CANARY14tok",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:9/CANARY15path/v1/metrics",
    "GLASSFORMER_GRAFANA_URL": "http://admin:CANARY16graf@127.0.0.1:3000",
    # and of the same kinds
    "smtpPass": "CANARY41camel", "deploy-pw": "CANARY42dash", "APITOKEN": "CANARY43glued", "WIFI_PSK": "CANARY44psk",
    "TEAMS_WEBHOOK_URL": "https://office.test/webhookb2/CANARY45hook/IncomingWebhook/CANARY46rest",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=CANARY47key,authorization=Basic%20dTpDQU5BUlk0OGI2NA==",
    "DATABASE_URL": "mysql://root:CANARY%2D49enc@db/x", "PGCONN": "host=db password=CANARY50dsn user=u",
    "SESSION_COOKIE": "CANARY51\nsecond CANARY52line",
}  # fmt: skip
PEM = "-----BEGIN RSA PRIVATE KEY-----\nCANARY30key\n-----END RSA PRIVATE KEY-----"
LICENSE = (
    "see https://u:CANARY18url@host/x?api_key=CANARY19q&sig=CANARY20sig password=CANARY21pw Bearer CANARY22bearer99 "
    'DB_PASS=CANARY23dbpass Authorization: Basic CANARY28basicQQ== {"client_secret":"CANARY29json"} '
    + PEM
    + " passwd CANARY31space "
    "pw=CANARY32pw pass:CANARY33 secret: 'CANARY34 two CANARY35words' https://discord.com/api/webhooks/1/CANARY53discord "
    "--api-token CANARY54opt jwt: CANARY55jwt https://h/#access_token=CANARY56frag /mnt/secret=CANARY57dir/x "
    "CANARY03pw CANARY05smtp CANARY06pat CANARY07jwt https://hooks.slack.test/services/T0/B0/CANARY08slack CANARY09bearer CANARY10pw "
    "CANARY11hdr CANARY12org CANARY13pw CANARY15path CANARY41camel CANARY42dash CANARY43glued CANARY45hook CANARY47key CANARY48b64 "
    "CANARY-49enc CANARY%2D49enc CANARY50dsn second CANARY52line"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An MLflow database with nothing in it: making one takes seconds."""
    file = tmp_path_factory.mktemp("store") / "m.db"
    tracking._make_whole(f"sqlite:///{file}")
    return file


@pytest.fixture
def place(tmp_path, monkeypatch, store):
    """A home with all of them in its environment, and data in folders that are called like two."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "GLASSFORMER_HOME"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/m.db")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path / "mlruns"))
    shutil.copy(store, tmp_path / "m.db")
    folder = tmp_path / "data" / "CANARY02hf" / "token=CANARY17dir"
    folder.mkdir(parents=True)
    rows = [f"this is row number {number} of a text that is long enough,l{number % 2}\n" for number in range(60)]
    (folder / "a.csv").write_text("text,label\n" + "".join(rows))
    return tmp_path


def hits(folder, *printed):
    """Where a canary stands, by file, and on the terminal."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "data" not in path.parts}
    assert not [path for path in found if "CANARY" in path.removeprefix(str(folder))], "nor in the name of a file"
    found |= {f"terminal {number}": text.encode() for number, text in enumerate(printed)}
    return {name: content[content.index(b"CANARY") :][:20] for name, content in found.items() if b"CANARY" in content}


def run(*arguments):
    """A program with all of them in its environment: what it printed, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=250
    )
    return done.stdout + done.stderr, done.returncode


def test_secrets_are_hidden_after_step_and_failed_pipeline(place):
    source = place / "data" / "CANARY02hf" / "token=CANARY17dir" / "a.csv"
    step, code = run(
        "steps.prepare_data", "--source", source, "--label_column", "label", "--license", LICENSE, "--min_characters", 5
    )
    assert code == 0, step
    pipeline, code = run(
        "pipelines", "run", "tiny", "--to", "prepare_data", "--set", "prepare_data.license=https://u:CANARY38set@h/ pw=CANARY58set",
        "--set", f"prepare_data.source={source.with_name('nothere.csv')}",
    )  # fmt: skip
    assert code != 0
    assert "nothere.csv" in pipeline
    files = {path.suffix for path in place.rglob("*") if path.is_file()}
    assert {".db", ".jsonl", ".json", ".seg", ".parquet"} <= files
    said = "".join(path.read_text() for path in (place / "home").rglob("*.json*"))
    assert "***" in said, "they were said, and hidden"
    assert hits(place, step, pipeline) == {}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--source", "https://user:CANARY24src@host.invalid/x.csv"], {}),
        (["--source", "s3://AKIAIOSFODNN7EXAMPLE:CANARY25s3@bucket/x.csv"], {}),
        (["--source", "x.csv", "--seed", "password=CANARY26seed"], {}),
        (["--source", "x.csv", "--seed", "--password=CANARY59"], {}),
        (["--source", "x.csv", "--api_key", "CANARY27opt"], {}),
        (["--source", "x.csv", "--unheard", "CANARY60"], {}),
        (["--source", "x.csv", "CANARY61"], {}),
        (["--source", "x.csv", "--seed", "x" * 150 + " https://u:CANARY62" + "y" * 100 + "@h/"], {}),
        (["--source", "x.csv"], {"MLFLOW_TRACKING_URI": "http://u:CANARY36trk@127.0.0.1:9"}),
        (["--source", "x.csv"], {"MLFLOW_TRACKING_URI": "postgresql+psycopg2://u:CANARY37pg@127.0.0.1:9/db"}),
        (["--source", "x.csv"], {"MLFLOW_TRACKING_URI": "file:///store?password=CANARY63"}),
        (["--source", "x.csv"], {"MLFLOW_TRACKING_URI": "https://u:CANARY64@[::1/x"}),
        (["--source", "x.csv"], {"MLFLOW_TRACKING_URI": "mysql://u:CANARY65@h/db"}),
    ],
)
def test_errors_and_their_files_contain_no_secrets(arguments, environment, place, monkeypatch, capfd):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GLASSFORMER_STRICT_TELEMETRY", "")
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)  # no shipper for each of these
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    factory = logging.getLogRecordFactory()
    try:
        with pytest.raises(SystemExit) as ended:
            wrapper.run_step(prepare_data, arguments)
    finally:
        logging.setLogRecordFactory(factory)
    printed = "".join(capfd.readouterr())
    assert ended.value.code in (1, 2, 75)
    assert "Traceback" not in printed
    assert "prepare_data: " in printed
    assert hits(place, printed) == {}


def test_secret_search_finds_unhidden_secrets(place):
    (place / "home").mkdir()
    (place / "home" / "x.json").write_text(LICENSE)
    assert hits(place, "CANARY02")
