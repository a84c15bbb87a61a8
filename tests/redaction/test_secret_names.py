"""Recognition of the names of secrets, in any case and with any separators."""

import pytest

from redaction.secret_names import is_variable, strength, words

SECRET = """
SMTP_PASS GITHUB_PAT JWT SLACK_WEBHOOK BEARER MYSQL_ROOT_PW DB_PWD HF_TOKEN AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
AWS_ACCESS_KEY_ID GOOGLE_CREDENTIALS SENTRY_DSN DB_PASSWD DB_PASSPHRASE API_KEY X-Api-Key apiKey dbRootPw smtpPass
slackWebhookUrl TEAMS_WEBHOOK_URL githubtoken APITOKEN DBPASS pgpassword PGPASSWORD NPM_AUTH PROXY_AUTH SESSION_COOKIE
STRIPE_SECRET_KEY JWT_SECRET my.app.secret SIGNING_KEY DEPLOY_KEYS TOKEN_2 DB_PASSWORD_PROD TOKEN_FOR_CI WEBHOOK_SECRET
AZURE_STORAGE_CONNECTION_STRING AZURE_SAS OTP GITHUBPAT sentryDsn UserPW DB_CREDS WIFI_PSK SECRET_KEY_BASE PASSWORD_HASH
Service_Account_Private_Key REFRESH_TOKEN BOT_TOKEN
"""
PLAIN = """
PATH PYTHONPATH HOME PWD OLDPWD USER LANG TERM SHELL KEYBOARD MONKEY HOTKEY AUTHOR XAUTHORITY SSH_AUTH_SOCK COMPASS BYPASS
TRESPASS TOKENIZERS_PARALLELISM MAX_TOKENS MAX_NEW_TOKENS NUM_TOKENS SECRET_NAME TOKEN_URL_PATH PASSWORD_FILE KEY_SIZE
TOKEN_ENDPOINT KEY_ID TOKEN_EXPIRY PASSENGER PATTERN SPAT SIGNAL PASS_RATE_LIMIT MLFLOW_TRACKING_URI GLASSFORMER_HOME
OMP_NUM_THREADS CUDA_VISIBLE_DEVICES LD_LIBRARY_PATH COLORTERM EDITOR HOSTNAME PUBLIC_HOST WEBHOOK_PORT CREDENTIALS_FILE
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_secret_variable_names_are_detected(name):
    assert is_variable(name)
    assert is_variable(name.upper())


@pytest.mark.parametrize("name", PLAIN.split())
def test_ordinary_variable_names_are_not_secret(name):
    assert not is_variable(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("password", 2), ("db_password", 2), ("pw", 2), ("DB_PW", 2), ("passwd", 2), ("client_secret", 2), ("api_key", 2), ("apiKey", 2),
        ("accessToken", 2), ("hf_token", 2), ("jwt", 2), ("dsn", 2), ("smtpPass", 1), ("DB_PASS", 1), ("pass", 1), ("token", 1),
        ("github_pat", 1), ("sig", 1), ("userpassword", 2), ("AccountKey", 2), ("SLACK_WEBHOOK", 2), ("secret_key", 2),
        ("key", 0), ("sort_key", 0), ("tokens", 0), ("max_tokens", 0), ("pad_token", 0), ("mask_token", 0), ("tokenizer", 0),
        ("password_set", 0), ("secret_name", 0), ("path", 0), ("patience", 0), ("passes", 0), ("author", 0), ("signal", 0), ("PWD", 0),
        ("n_tokens", 0), ("compass", 0), ("keys", 0),
    ],
)  # fmt: skip
def test_strength_rates_names_of_settings_and_columns(name, expected):
    assert strength(name) == expected


def test_names_are_split_into_words():
    assert words("dbRoot-PW") == ["DB", "ROOT", "PW"]
    assert words("HTTPServer2") == ["HTTP", "SERVER", "2"]
