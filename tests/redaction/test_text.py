import base64
import os
import string
import subprocess
import sys
from collections import namedtuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redaction import redact
from redaction.secret_values import secrets
from tests.pipeline_home import ROOT

SECRET = st.text(alphabet=string.ascii_letters + string.digits + "!$%^&()-_+", min_size=8, max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://user:pw@host/db", "postgresql://***@host/db"),
        ("https://u:p@ss@host/x", "https://***@host/x"),
        ("https://u:pa/ss@host/y", "https://***@host/y"),
        ("git+https://ghp_abc@github.com/a", "git+https://***@github.com/a"),
        ("redis://:pw@h and http://a:b@c:80/d", "redis://***@h and http://***@c:80/d"),
        ("http://localhost:5000/#/models/x@champion", "http://localhost:5000/#/models/x@champion"),
        ("models:/name@champion", "models:/name@champion"),
        ("mail a@b.org, see http://h:80", "mail a@b.org, see http://h:80"),
        ("GET /x?token=abc&page=1", "GET /x?token=***&page=1"),
        ("https://h/f?X-Amz-Signature=ab12&y=2", "https://h/f?X-Amz-Signature=***&y=2"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("{'Authorization': 'Basic dXNlcjpwdw=='}", "{'Authorization': '***'}"),
        ("sent Bearer eyJhbGciOi1.x", "sent Bearer ***"),
        ("host=db user=me password=hunter22 dbname=x", "host=db user=me password=*** dbname=x"),
        ("{'password': 'hunter22', 'rows': 3}", "{'password': '***', 'rows': 3}"),
        ('{"aws_secret_access_key": "wJalrXUtnFEMI/K7"}', '{"aws_secret_access_key": "***"}'),
        ("AccountName=a;AccountKey=abc123==;EndpointSuffix=x", "AccountName=a;AccountKey=***;EndpointSuffix=x"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE and cut off", "-----BEGIN PRIVATE KEY-----***"),
        ("cloned with ghp_0123456789abcdefghij", "cloned with ***"),
        ("hf_abcdefghijklmnopqrst is wrong", "*** is wrong"),
        ("key AKIAIOSFODNN7EXAMPLE", "key ***"),
        ("batch_tokens: 2048, tokens/s 52,508, key: value", "batch_tokens: 2048, tokens/s 52,508, key: value"),
        (
            "the secret of tokenization: subwords; passwords are long",
            "the secret of tokenization: subwords; passwords are long",
        ),
        ("a basic understanding of bearer tokens", "a basic understanding of bearer tokens"),
    ],
)
def test_only_credentials_in_text_are_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


@given(secret=SECRET, before=st.text(max_size=30), after=st.text(max_size=30))
@example(secret="sk-12345678", before="key=", after="\n")
def test_environment_secret_is_redacted_in_any_structure(secret: str, before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_TOKEN", secret)
        shown = redact({"message": before + secret + after, "list": [secret, (secret,)], secret: {"deep": secret}})
        assert secret not in str(shown)
        assert redact(f"{secret}") == "***"


def test_redaction_follows_environment_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redact("one-secret two-secret") == "one-secret two-secret"
    monkeypatch.setenv("CANARY_TOKEN", "one-secret")
    assert redact("one-secret two-secret") == "*** two-secret"
    monkeypatch.setenv("CANARY_TOKEN", "two-secret")
    assert redact("one-secret two-secret") == "one-secret ***"
    monkeypatch.delenv("CANARY_TOKEN")
    assert redact("one-secret two-secret") == "one-secret two-secret"


@given(user=SECRET, password=SECRET, host=st.from_regex(r"[a-z]{1,20}\.[a-z]{2,5}", fullmatch=True))
def test_url_password_is_always_redacted(user: str, password: str, host: str) -> None:
    shown = redact(f"cannot reach https://{user}:{password}@{host}/path, giving up")
    assert shown == f"cannot reach https://***@{host}/path, giving up"


@given(st.text())
def test_redaction_is_idempotent_for_any_text(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.text(alphabet=string.ascii_letters + string.digits + " .,:;-_()[]\n", max_size=200))
def test_text_without_credentials_is_unchanged(text: str) -> None:
    if not any(word in text.lower() for word in ("authorization", "bearer", "basic")):
        assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "SOME_KEY", "PROXY_AUTH",
     "DB_CREDENTIALS", "PGPASSWORD", "AZURE_STORAGE_CONNECTION_STRING", "GITHUB_TOKENS", "lower_token", "SENTRY_DSN"],
)  # fmt: skip
def test_values_of_secret_looking_variables_are_redacted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "canary-value")
    assert redact("it said canary-value") == "it said ***"


@pytest.mark.parametrize(
    "name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "PWD", "OLDPWD", "KEYBOARD", "AUTHOR", "HOME"]
)
def test_values_of_ordinary_variables_are_unchanged(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "plain-value")
    assert redact("plain-value") == "plain-value"


def test_short_secret_values_are_not_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "true")
    assert redact("true") == "true"


def test_quoted_encoded_and_partial_forms_of_a_secret_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_PASSWORD", "one two/three'four")
    monkeypatch.setenv("PRIVATE_KEY", "-----BEGIN-----\nMIIabcdefgh\n-----END-----\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:dbpass%21word@host/db")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=tenant-one,api=abcdef123")
    assert redact("one%20two%2Fthree%27four") == "***"
    assert redact(repr(["one two/three'four"])) == '["***"]'
    assert "MIIabcdefgh" not in redact("got MIIabcdefgh")
    assert "MIIabcdefgh" not in redact(repr(os.environ["PRIVATE_KEY"]))
    assert redact("refused dbpass!word, dbpass%21word") == "refused ***, ***"
    assert redact("abcdef123 tenant-one") == "*** ***"


def test_secret_containing_a_shorter_secret_is_redacted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdef")
    monkeypatch.setenv("B_TOKEN", "abcdef-ghijkl")
    assert redact("abcdef-ghijkl") == "***"
    assert secrets().index("abcdef-ghijkl") < secrets().index("abcdef")


def test_redaction_keeps_types_and_non_text_values() -> None:
    point = namedtuple("point", "x y")
    assert redact(point("Authorization: z", 2)) == point("Authorization: ***", 2)
    assert redact([1, None, 2.5, True, {3: b"x"}]) == [1, None, 2.5, True, {3: b"x"}]


def test_values_under_secret_keys_are_redacted() -> None:
    given = {
        "password": "hunter22",
        "db_password": "x",
        "api_key": "k",
        "tokens": "5",
        "key": "loss",
        "password_set": "no",
    }
    assert redact({"config": given}) == {"config": {**given, "password": "***", "db_password": "***", "api_key": "***"}}


def test_library_logs_and_warnings_are_printed_without_credentials() -> None:
    code = (
        "import logging, warnings; from redaction import hide_in_tracebacks as hide; hide(); hide(); "
        "logging.warning('asked %s with %d', 'http:' + '//u:cana@h', 5); warnings.warn('password=cana1')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0
    assert "asked http://***@h with 5" in ended.stderr
    assert "password=***" in ended.stderr
    assert "cana@" not in ended.stderr


def test_uncaught_error_is_printed_without_credentials() -> None:
    code = "from redaction import hide_in_tracebacks as hide; hide(); raise ValueError('at ' + '//u:cana@h'.join(['http:', '']))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "ValueError: at http://***@h" in ended.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DB_PASS=canary23dbpass ok", "DB_PASS=*** ok"),
        ("pw=canary32, pass:canary33", "pw=***, pass:***"),
        ("END RSA PRIVATE KEY----- passwd canary31 pw=canary32", "END RSA PRIVATE KEY----- passwd *** pw=***"),
        ("parameter seed=password=canary26, set='pw=canary27'", "parameter seed=password=***, set='pw=***'"),
        ("config: {db: {password: canary1, pw: canary2}}", "config: {db: {password: ***, pw: ***}}"),
        ("passwd canary31space", "passwd ***"),
        ("secret: 'canary34 two words' end", "secret: '***' end"),
        ('{"client_secret":"canary29json", "rows": 3}', '{"client_secret":"***", "rows": 3}'),
        (r'"{\"client_secret\": \"canary 29\"}"', r'"{\"client_secret\": \"***\"}"'),
        ('password: "never closed canary', 'password: "***'),
        ("--api_key canary27opt --rows 5", "--api_key *** --rows 5"),
        ("--hf-token canary", "--hf-token ***"),
        ("/data/token=canary17dir/a.csv", "/data/token=***/a.csv"),
        ("/data/password=canary/secret=x/a.csv", "/data/password=***/secret=***/a.csv"),
        (
            "https://h/x?api_key=canary19q&sig=canary20sig&access_key=c1&X-Amz-Security-Token=c2",
            "https://h/x?api_key=***&sig=***&access_key=***&X-Amz-Security-Token=***",
        ),
        ("https://h/cb#access_token=canary&state=1", "https://h/cb#access_token=***&state=1"),
        ("s3://AKIAIOSFODNN7EXAMPLE:canary25@bucket/x", "s3://***@bucket/x"),
        ("https://hooks.slack.com/services/T00/B00/canary08 said no", "https://hooks.slack.com/services/*** said no"),
        ("https://discord.com/api/webhooks/123/canary", "https://discord.com/api/webhooks/***"),
        ("https://api.telegram.org/bot12:canary/sendMessage", "https://api.telegram.org/bot***"),
        ("Cookie: session=canary; user=canary2", "Cookie: ***"),
        ("jwt=canary.a.b userPassword = canary", "jwt=*** userPassword = ***"),
        ("slackWebhook: canary-hook", "slackWebhook: ***"),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----***-----END PGP",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc", "-----BEGIN OPENSSH PRIVATE KEY-----***"),
    ],
)
def test_credentials_in_settings_options_and_urls_are_redacted(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "password authentication failed for user mlflow",
        "the secret of tokenization is patience; secrets of the trade; a secret plan",
        "pass: 12 of 15, fail: 3; first pass=2, token: the, tokens=512, key: value, sort_key=name",
        "max_tokens=4096 pad_token=[PAD] mask_token: '[MASK]' n_tokens: 300000",
        "path=/work/data/a.csv patience=3 author: Ann, signal=15 auth=none",
        "PWD=/home/ann OLDPWD=/tmp /etc/passwd is missing, /data/year=2024/key=5/a.csv",
        "the basic idea, a bearer of news, cookies are fine",
        "https://example.org/a/b?page=2&q=cats#top and http://127.0.0.1:3100/otlp/v1/logs",
        "sqlite:////srv/project/mlflow.db, models:/glassformer-docs@champion, runs:/0123456789abcdef/model",
        "a token=b; passing 12 tests; compass: north1234; credit: 2024-01-01; pattern=a1b2c3d4",
        "prepare_data.source=docs finetune.learning_rate=0.0001 token_classification=true",
    ],
)
def test_ordinary_text_is_unchanged(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    "value", ["test", "1", "true", "none", "12345", "123456", "mlflow", "postgres", "Password", "changeme", "default"]
)
def test_common_words_used_as_secret_values_are_not_redacted(value, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", value)
    assert redact(f"run {value} of test 1 is true") == f"run {value} of test 1 is true"
    assert redact(f"DB_PASSWORD={value}x9") == "DB_PASSWORD=***"


def test_file_path_in_a_secret_variable_is_not_redacted(monkeypatch, tmp_path):
    file = tmp_path / "key.json"
    file.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert redact(f"cannot read {file}") == f"cannot read {file}"


def test_each_otlp_header_value_is_redacted(monkeypatch):
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        "authorization=Bearer canary11hdr,x-scope-orgid=canary12org,api=Basic%20dXNlcjpjYW5hcnk5OQ==",
    )
    assert redact("Bearer of news, basic needs") == "Bearer of news, basic needs"
    assert redact("canary11hdr canary12org dXNlcjpjYW5hcnk5OQ== canary99") == "*** *** *** ***"


def test_secret_parts_of_environment_addresses_are_redacted(monkeypatch):
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:9/canary15path/otlp/v1/metrics?token=canary14tok"
    )
    monkeypatch.setenv("SLACK_WEBHOOK", "https://hooks.slack.test/services/T0/B0/canary08slack")
    monkeypatch.setenv("GLASSFORMER_GRAFANA_URL", "http://admin:canary16graf@127.0.0.1:3000")
    monkeypatch.setenv("MYSQL_CONFIG", "host=db user=me password=canary98;x=1")
    for text in ("url: /canary15path/otlp/v1/metrics", "canary14tok", "/services/T0/B0/canary08slack", "canary16graf", "canary98",
                 "Basic YWRtaW46Y2FuYXJ5MTZncmFm"):  # fmt: skip
        assert "***" in redact(text)
        assert "canary" not in redact(text)
    assert redact("otlp v1 metrics services 127.0.0.1") == "otlp v1 metrics services 127.0.0.1"


def test_url_json_html_and_basic_encodings_of_a_secret_are_redacted(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", 'ca"na/ry<&>ü')
    forms = ("ca%22na%2Fry%3C%26%3E%C3%BC", "ca%22na%2fry%3c%26%3e%c3%bc", "ca&quot;na/ry&lt;&amp;&gt;ü")
    basic = base64.b64encode('ann:ca"na/ry<&>ü'.encode()).decode()
    for text in ('ca"na/ry<&>ü', r"ca\"na/ry<&>\u00fc", basic, *forms):
        assert redact(f"x {text} y") == "x *** y"


@given(st.text(alphabet="ab=:'\"\\ /-_passwordtoken\n", max_size=60))
def test_redaction_is_idempotent_for_text_with_secret_names(text):
    assert redact(redact(text)) == redact(text)


def test_redaction_of_long_texts_finishes_quickly():
    for text in (
        "a" * 200_000,
        "token-" * 30_000,
        "pass " * 40_000,
        "secret='" + "x" * 200_000,
        "=" * 100_000 + "key",
        "auth: " * 30_000,
    ):
        redact(text)
