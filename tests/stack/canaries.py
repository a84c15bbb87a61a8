"""Secrets that nobody may find again, of every kind that a user has: in the environment, in URLs, in headers, in errors."""

from __future__ import annotations

# Each holds a word of its own, so that a part of one is found as well.
WORDS = [f"cAnArY{number:02d}pQz{number * 7919:06d}" for number in range(24)]

ENVIRONMENT = {
    "HF_TOKEN": f"hf_{WORDS[0]}",
    "MLFLOW_TRACKING_PASSWORD": WORDS[1],
    "MLFLOW_TRACKING_TOKEN": WORDS[2],
    "AWS_ACCESS_KEY_ID": f"AKIA{WORDS[3].upper()}",
    "AWS_SECRET_ACCESS_KEY": f"{WORDS[4]}/K7MDENG+bPxRfiCY",
    "OPENAI_API_KEY": f"sk-{WORDS[5]}",
    "DATABASE_URL": f"postgresql://trainer:{WORDS[6]}@db.example/mlflow",
    "PGPASSWORD": WORDS[7],
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{WORDS[8]}",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS": f"authorization=Basic%20{WORDS[9]},x-team=blue",
    "DEPLOY_PRIVATE_KEY": f"-----BEGIN PRIVATE KEY-----\nMIIE{WORDS[10]}\n-----END PRIVATE KEY-----\n",
    "SENTRY_DSN": f"https://{WORDS[11]}@sentry.example/1",
    "SLACK_SIGNING_SECRET": WORDS[12],
    "GITHUB_TOKEN": f"ghp_{WORDS[13]}",
    "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={WORDS[14]}==;EndpointSuffix=core.example",
    "PIP_INDEX_URL": f"https://reader:{WORDS[15]}@packages.example/simple",
    "SESSION_COOKIE": WORDS[16],
    "BACKUP_PASSPHRASE": f"correct horse {WORDS[17]}",
}

# What stands in no variable: sources of data that a user names, and what an error says.
SOURCES = [
    f"https://reader:{WORDS[18]}@127.0.0.1:9/rows.csv",
    f"https://127.0.0.1:9/rows.csv?X-Amz-Signature={WORDS[19]}&part=1",
]
SAID = "\n".join(
    [
        f"refused: Authorization: Bearer {WORDS[20]}",
        f"cannot connect: host=db user=trainer password={WORDS[21]} dbname=mlflow",
        f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{WORDS[22]}\n-----END RSA PRIVATE KEY-----",
        f"redis://:{WORDS[23]}@cache.example:6379/0",
        *ENVIRONMENT.values(),
    ]
)


def found_in(content: bytes | str) -> list[str]:
    """The words that stand in some content."""
    text = (content if isinstance(content, str) else content.decode("latin-1")).lower()
    return [word for word in WORDS if word.lower() in text]
