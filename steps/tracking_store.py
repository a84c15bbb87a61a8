"""Whether a tracking store can be used, checked once before anything is recorded: its address, driver, database or server.

A server is asked by MLflow's own HTTP client, so that certificates, credentials and proxies are the ones of all later calls.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from artifacts.errors import TemporaryError, UserError
from redaction import redact

_ASK = "/api/2.0/mlflow/experiments/search"
_ANSWER_WITHIN = 5.0  # seconds, for one answer
_PATIENCE = 10.0  # seconds, with a server that asks to come back later
_SQLITE = "set MLFLOW_TRACKING_URI=sqlite:///mlflow.db"
_DRIVERS = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}  # module -> package, where they differ
# Driver -> its parameter for the longest wait for a connection.
_TIMEOUTS = {
    "pysqlite": "timeout",
    "psycopg2": "connect_timeout",
    "psycopg": "connect_timeout",
    "mysqldb": "connect_timeout",
    "pymysql": "connect_timeout",
}
# What a database says of a wrong password, user or name, which trying again does not change.
_REFUSALS = (
    "password authentication failed", "no password supplied", "Access denied", "does not exist", "Unknown database",
    "no pg_hba.conf entry", "certificate verify failed", "file is not a database", "unable to open database file",
    "readonly database", "permission denied",
)  # fmt: skip


def check_address(uri: str) -> None:
    """UserError for an address that names no store of ours. Loads nothing, and asks nothing."""
    if uri in ("", "databricks", "databricks-uc", "uc"):
        return
    try:
        scheme = urlsplit(uri).scheme
    except ValueError:
        raise UserError(f"MLFLOW_TRACKING_URI={redact(uri)}: not an address; {_SQLITE}", 2) from None
    if scheme in ("", "file") and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise UserError(
            f"MLFLOW_TRACKING_URI={redact(uri)} is a store of files, which MLflow has given up; {_SQLITE} "
            "(`mlflow migrate-filestore` takes runs over)",
            2,
        )
    if scheme == "postgres":
        raise UserError(f"MLFLOW_TRACKING_URI={redact(uri)}: write postgresql:// in place of postgres://", 2)
    if uri in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise UserError(f"MLFLOW_TRACKING_URI={uri} is forgotten when a process ends; {_SQLITE}", 2)


def check(uri: str) -> None:
    """UserError or TemporaryError in one line, within 15 s, unless the store at `uri` can be used."""
    check_address(uri)
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif urlsplit(uri).scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql"):
        _check_database(uri)


def credentials_error(uri: str, status: int) -> UserError:
    """The error for credentials that a server does not take."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    named = [name for name in names if os.environ.get(name)] + ["the address"] * ("@" in urlsplit(uri).netloc)
    given = f"given by {' and '.join(named)}" if named else "none were given"
    return UserError(
        f"tracking server {redact(uri)}: credentials refused ({status}; {given}); set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )


def _check_server(uri: str) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        answer = _answer(uri)
        if answer.status_code != 429:
            return _judge(uri, answer)
        pause = _seconds(answer.headers.get("Retry-After", ""))
        if time.monotonic() + pause > until:
            raise TemporaryError(
                f"tracking server {redact(uri)} takes no more requests for now (429, come back in {pause:.0f} s); try again later"
            )
        time.sleep(pause)


def _answer(uri: str) -> Any:
    import urllib3
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        creds = get_default_host_creds(uri)
        if creds.ignore_tls_verification:  # the user chose this, so do not warn at each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return http_request(
            creds, _ASK, "GET", params={"max_results": 1}, max_retries=0, timeout=_ANSWER_WITHIN, retry_codes=frozenset(),
            respect_retry_after_header=False,
        )  # fmt: skip
    except ModuleNotFoundError as error:
        raise UserError(f"MLFLOW_TRACKING_AWS_SIGV4 needs a package that is not installed ({error.name})", 2) from error
    except Exception as error:  # of requests, urllib3 and ssl, within MLflow's own
        raise _explain_error(uri, error) from error


def _explain_error(uri: str, error: Exception) -> Exception:
    """An error of MLflow's HTTP client as one line that names the variable to set."""
    chain = list(_chain(error))
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    text, shown = " ".join(map(str, chain)), redact(uri)
    why = redact(" ".join(str(chain[-1]).split())[:200])
    if "CA certificate bundle" in text:
        return UserError(f"MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE: no certificates there ({why})")
    if "TLS certificate file" in text or "TLS key file" in text:
        return UserError(f"MLFLOW_TRACKING_CLIENT_CERT_PATH: no certificate there ({why})")
    if "must not be set" in text or "server_cert_path" in text:
        return UserError("set MLFLOW_TRACKING_SERVER_CERT_PATH or MLFLOW_TRACKING_INSECURE_TLS, not both", 2)
    if any(sign in text for sign in ("CERTIFICATE_REQUIRED", "certificate required", "HANDSHAKE_FAILURE")):
        return UserError(
            f"tracking server {shown} wants a client's certificate ({why}); set MLFLOW_TRACKING_CLIENT_CERT_PATH"
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return UserError(f"tracking server {shown} speaks no TLS ({why}); write http:// in MLFLOW_TRACKING_URI")
    if "ProxyError" in kinds:
        return TemporaryError(
            f"tracking server {shown}: its proxy does not answer ({why}); check HTTPS_PROXY and NO_PROXY"
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return UserError(
            f"tracking server {shown}: its certificate is not trusted ({why}); set MLFLOW_TRACKING_SERVER_CERT_PATH to the "
            "certificate of its authority"
        )
    if "SSLError" in kinds:
        return UserError(
            f"tracking server {shown}: TLS fails ({why}); set MLFLOW_TRACKING_CLIENT_CERT_PATH if it wants a client's certificate"
        )
    if {"InvalidURL", "InvalidUrlException", "LocationParseError", "InvalidHeader", "UnicodeError"} & kinds:
        return UserError(f"tracking server {shown}: not an address ({why}); check MLFLOW_TRACKING_URI", 2)
    hint = ", MLFLOW_TRACKING_CLIENT_CERT_PATH" if uri.startswith("https") and "refused" not in text else ""
    return TemporaryError(
        f"tracking server {shown} does not answer ({why}); start it, or check MLFLOW_TRACKING_URI{hint}"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _judge(uri: str, answer: Any) -> None:
    status, shown = answer.status_code, redact(uri)
    if status in (401, 403) and "host header" not in answer.text[:500].lower():
        raise credentials_error(uri, status)
    if status == 403:
        host = urlsplit(uri).netloc.rpartition("@")[2]
        raise UserError(
            f"tracking server {shown} does not answer to the name {host}; add it to its MLFLOW_SERVER_ALLOWED_HOSTS"
        )
    if status == 407:
        raise UserError(
            f"tracking server {shown}: its proxy wants credentials (407); give them in HTTPS_PROXY or HTTP_PROXY"
        )
    if status >= 500 or status == 408:
        raise TemporaryError(f"tracking server {shown} answers {status}; start it, or check MLFLOW_TRACKING_URI")
    try:
        known = isinstance(body := answer.json(), dict) and (status == 200 or "error_code" in body)
    except ValueError:
        known = False
    if not known:
        raise UserError(
            f"{shown} is not an MLflow server (it answers {status} to {_ASK}); check MLFLOW_TRACKING_URI, its path included"
        )


def _seconds(retry_after: str) -> float:
    """Seconds in a Retry-After header; a date or an empty one counts as a second (RFC 9110, section 10.2.3)."""
    return min(max(int(retry_after), 1), 1_000_000) if re.fullmatch(r"\d{1,20}", retry_after.strip()) else 1.0


def _check_database(uri: str) -> None:
    import sqlalchemy
    from sqlalchemy import exc

    shown = redact(uri)
    try:
        url = sqlalchemy.make_url(uri)
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except (exc.ArgumentError, exc.NoSuchModuleError, ValueError) as error:
        raise UserError(
            f"MLFLOW_TRACKING_URI={shown}: {redact(str(error))}; {_SQLITE}, or postgresql://USER@HOST/NAME", 2
        ) from None
    except ImportError as error:
        module = (error.name or dialect.driver).partition(".")[0]
        other = "write postgresql+psycopg2://, or " if module == "psycopg" and find_spec("psycopg2") else ""
        raise UserError(
            f"MLFLOW_TRACKING_URI={shown} needs the driver {module}, which is not installed; "
            f"{other}`.venv/bin/python -m pip install {_DRIVERS.get(module, module)}`",
            2,
        ) from None
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return  # made at the first start
    # MLflow itself would try for two minutes.
    waiting = {_TIMEOUTS[dialect.driver]: int(_ANSWER_WITHIN)} if dialect.driver in _TIMEOUTS else {}
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=waiting)
    try:
        with engine.connect() as connection:
            if url.get_backend_name() == "sqlite":
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except exc.SQLAlchemyError as error:
        raise database_explained(shown, error) from error
    finally:
        engine.dispose()


def database_explained(shown: str, error: Exception) -> Exception:
    """A database's error as one line: a refusal, or one that can pass."""
    text = redact(" ".join(str(getattr(error, "orig", None) or error).split())[:200])
    if any(sign in text for sign in _REFUSALS):
        return UserError(f"MLflow's store {shown}: {text}; check user, password and name in MLFLOW_TRACKING_URI")
    return TemporaryError(f"MLflow's store {shown} does not answer ({text}); check the server or MLFLOW_TRACKING_URI")
