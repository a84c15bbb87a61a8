"""Tracking stores that can and cannot be used: each is one line, with the exit code that says whether to try again."""

import sqlite3
import sys
import time

import pytest

from artifacts.errors import TemporaryError, UserError
from steps import tracking, tracking_store
from tests.tracking_server import EXPERIMENTS, answering, certificate, server, tls

FINE = (200, {}, EXPERIMENTS)


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    for name in ("USERNAME", "PASSWORD", "TOKEN", "SERVER_CERT_PATH", "CLIENT_CERT_PATH", "INSECURE_TLS"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # ~/.mlflow/credentials, ~/.netrc


def problem(uri, kind=UserError):
    with pytest.raises(kind) as raised:
        tracking_store.check(uri)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"])
def test_private_certificate_authority_is_trusted_as_in_mlflow(pem, monkeypatch, variable):
    monkeypatch.setenv(variable, str(pem))
    with server(answering(FINE), tls(pem)) as asked:
        tracking_store.check(asked.uri)
    assert asked.paths == ["/api/2.0/mlflow/experiments/search?max_results=1"]


def test_insecure_tls_can_be_allowed(pem, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with server(answering(FINE), tls(pem)) as asked:
        tracking_store.check(asked.uri)


def test_unknown_certificate_authority_error_names_the_variable(pem, tmp_path, monkeypatch):
    with server(answering(FINE), tls(pem)) as asked:
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in problem(asked.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "none.pem"))
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in problem(asked.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
        assert "not both" in problem(asked.uri)


def test_client_certificate_is_sent_if_configured(pem, tmp_path, monkeypatch):
    own = certificate(tmp_path, "client")
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(pem))
    with server(answering(FINE), tls(pem, own)) as asked:
        # A refusal comes after TLS 1.3's handshake: as an alert, or as a connection that ends.
        assert "MLFLOW_TRACKING_CLIENT_CERT_PATH" in problem(asked.uri, (UserError, TemporaryError))
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(tmp_path / "none.pem"))
        assert "MLFLOW_TRACKING_CLIENT_CERT_PATH" in problem(asked.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(own))
        tracking_store.check(asked.uri)


def test_https_address_of_http_server_error_suggests_http():
    with server(answering(FINE)) as asked:
        assert "write http://" in problem(asked.uri.replace("http", "https"))


def test_credentials_are_sent_as_mlflow_sends_them(monkeypatch, tmp_path):
    with server(answering(FINE)) as asked:
        tracking_store.check(asked.uri.replace("//", "//ann:pa%3Ass@"))
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "canary-token")
        tracking_store.check(asked.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        tracking_store.check(asked.uri)
        for name in ("TOKEN", "USERNAME", "PASSWORD"):
            monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = bob\nmlflow_tracking_password = secret\n"
        )
        tracking_store.check(asked.uri)
    assert asked.authorizations == [
        "Basic YW5uOnBhOnNz",
        "Bearer canary-token",
        "Basic Ym9iOnNlY3JldA==",
        "Basic Ym9iOnNlY3JldA==",
    ]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_a_user_error(status, monkeypatch):
    with server(answering((status, {}, "no"))) as asked:
        assert f"credentials refused ({status}; none were given)" in problem(asked.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "canary-token-1")
        told = problem(asked.uri.replace("//", "//ann:canary-pw@"))
    assert "given by MLFLOW_TRACKING_TOKEN and the address" in told
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((404, {}, "<html>not found</html>"), "is not an MLflow server (it answers 404"),
        ((200, {}, "<html>a router</html>"), "is not an MLflow server (it answers 200"),
        ((200, {}, "[1, 2]"), "is not an MLflow server"),
        ((200, {}, ""), "is not an MLflow server"),
        ((418, {}, "{}"), "is not an MLflow server (it answers 418"),
        ((403, {}, "Invalid Host header - possible DNS rebinding attack detected"), "MLFLOW_SERVER_ALLOWED_HOSTS"),
        ((407, {}, ""), "HTTPS_PROXY"),
    ],
)
def test_error_explains_unusable_server_answers(answer, told):
    with server(answering(answer)) as asked:
        assert told in problem(asked.uri)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_failing_or_missing_server_is_a_temporary_error(status):
    with server(answering((status, {}, "<html>"))) as asked:
        assert f"answers {status}" in problem(asked.uri, TemporaryError)
    assert "does not answer" in problem(asked.uri, TemporaryError), "gone"


def test_check_accepts_error_in_mlflow_format():
    with server(answering((404, {}, '{"error_code": "ENDPOINT_NOT_FOUND", "message": "old"}'))) as asked:
        tracking_store.check(asked.uri)


def test_rate_limited_check_waits_for_retry_after_and_retries(monkeypatch):
    slept = []
    monkeypatch.setattr(tracking_store.time, "sleep", slept.append)
    with server(answering((429, {"Retry-After": "3"}, ""), (429, {}, ""), FINE)) as asked:
        tracking_store.check(asked.uri)
    assert slept == [3.0, 1.0]


@pytest.mark.parametrize("later", ["3600", "99999999999999999999", "11"])
def test_a_long_retry_after_is_not_waited_for(later, monkeypatch):
    monkeypatch.setattr(tracking_store.time, "sleep", lambda _: pytest.fail("it waited"))
    with server(answering((429, {"Retry-After": later}, ""))) as asked:
        assert "429, come back in" in problem(asked.uri, TemporaryError)


@pytest.mark.parametrize("later", ["", "-5", "nan", "Wed, 21 Oct 2065 07:28:00 GMT"])
def test_repeated_429_answers_end_within_ten_seconds(later, monkeypatch):
    clock = [time.monotonic()]
    monkeypatch.setattr(tracking_store, "time", type("Clock", (), {"monotonic": lambda: clock[0]}))
    monkeypatch.setattr(tracking_store.time, "sleep", lambda s: clock.append(clock.pop() + s), raising=False)
    begun = clock[0]
    with server(answering((429, {"Retry-After": later}, ""))) as asked:
        problem(asked.uri, TemporaryError)
    assert clock[0] - begun <= 10


def test_mlflow_calls_do_not_wait_for_retry_after(monkeypatch):
    from mlflow.utils.rest_utils import http_request

    assert tracking.ENVIRONMENT["MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER"] == "false"
    for name, value in tracking.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with server(answering((429, {"Retry-After": "3600"}, ""))) as asked:
        from mlflow.utils.credentials import get_default_host_creds

        with pytest.raises(TemporaryError), tracking.outages_explained():
            http_request(get_default_host_creds(asked.uri), "/api/2.0/x", "GET")
    assert len(asked.paths) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_refused_mid_run_are_a_user_error(status, monkeypatch):
    from mlflow import MlflowClient

    with server(answering((status, {}, "no"))) as asked:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", asked.uri)
        with pytest.raises(UserError, match="credentials refused"), tracking.outages_explained():
            MlflowClient(asked.uri).get_run("0" * 32)


@pytest.mark.parametrize("uri", ["file:./mlruns", "file:///tmp/x", "./mlruns", "/tmp/mlruns", "mlruns"])
def test_file_store_error_suggests_sqlite(uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    assert "sqlite:///mlflow.db" in problem(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as raised:
        tracking.prepare_environment()
    assert raised.value.exit_code == 2
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracking_store.check_address(uri)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("mysql://u:canary-pw@h/db", "needs the driver MySQLdb, which is not installed"),
        ("mysql+pymysql://u:canary-pw@h/db", "pip install pymysql"),
        ("postgresql+asyncpg://u:canary-pw@h/db", "asyncpg"),
        ("postgresql+nothing://u:canary-pw@h/db", "postgresql.nothing"),
        ("mssql://u:canary-pw@h/db", "pyodbc"),
        ("postgres://u:canary-pw@h/db", "write postgresql://"),
        ("postgresql://u:canary-pw@h:port/db", "sqlite:///mlflow.db"),
        ("sqlite://", "forgotten"),
        ("sqlite:///:memory:", "forgotten"),
        ("http://[::1", "not an address"),
    ],
)
def test_unusable_address_error_names_cause_and_hides_password(uri, told):
    assert told in (said := problem(uri))
    assert "canary" not in said


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        (
            "postgresql+psycopg2",
            "needs the driver psycopg2, which is not installed; `.venv/bin/python -m pip install psycopg2-binary`",
        ),
        (
            "postgresql",
            "needs the driver psycopg, which is not installed; `.venv/bin/python -m pip install 'psycopg[binary]'`",
        ),
    ],
)
def test_missing_postgresql_driver_error_names_the_package(scheme, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setattr(tracking_store, "find_spec", lambda name: None)
    assert told in problem(f"{scheme}://u:pw@127.0.0.1:9/db")
    monkeypatch.setattr(tracking_store, "find_spec", lambda name: name)
    assert ("write postgresql+psycopg2://" in problem(f"{scheme}://u:pw@127.0.0.1:9/db")) == (scheme == "postgresql")


def test_unreachable_database_is_a_temporary_error():
    pytest.importorskip("psycopg2")
    told = problem("postgresql+psycopg2://u:canary-pw@127.0.0.1:9/db", TemporaryError)
    assert "does not answer" in told
    assert "canary" not in told


@pytest.mark.parametrize(
    "text", ['password authentication failed for user "u"', 'database "x" does not exist', "no password supplied"]
)
def test_refusal_by_database_is_a_user_error(text):
    error = type("OperationalError", (Exception,), {})(text)
    with pytest.raises(UserError, match=text.partition('"')[0]), tracking.outages_explained():
        raise error


def test_sqlite_path_that_is_no_database_is_rejected(tmp_path):
    (tmp_path / "x.db").write_text("this is text, and no database at all" * 50)
    assert "file is not a database" in problem(f"sqlite:///{tmp_path}/x.db")
    (tmp_path / "folder.db").mkdir()
    assert "unable to open database file" in problem(f"sqlite:///{tmp_path}/folder.db")
    sqlite3.connect(tmp_path / "fine.db").close()
    tracking_store.check(f"sqlite:///{tmp_path}/fine.db")
    tracking_store.check(f"sqlite:///{tmp_path}/new.db")
    assert not (tmp_path / "new.db").exists()
