"""Secrets are random, closed to others, whole, and never written over."""

import os
import re
import stat
import subprocess
import sys

import pytest

from artifacts.home import CHECKOUT
from deploy import secrets


def values(file):
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)


def test_secret_names_match_those_required_by_compose():
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (CHECKOUT / "docker-compose.yml").read_text()))
    assert asked == set(secrets.NAMES)


def test_new_file_has_all_secrets_and_is_private(tmp_path):
    mask = os.umask(0)
    try:
        assert secrets.write_missing(tmp_path / ".env") == list(secrets.NAMES)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    written = values(tmp_path / ".env")
    assert tuple(written) == secrets.NAMES
    assert len(set(written.values())) == len(secrets.NAMES)
    assert all(re.fullmatch(r"[\w-]{43}", value) for value in written.values()), "safe in an address and in compose"
    assert [path.name for path in tmp_path.iterdir()] == [".env"], "nothing is left beside it"
    secrets.write_missing(tmp_path / "other.env")
    assert set(values(tmp_path / "other.env").values()).isdisjoint(written.values())


def test_existing_secrets_stay_and_missing_ones_are_added(tmp_path):
    file = tmp_path / ".env"
    mine = '# mine\nPOSTGRES_PASSWORD=kept\nGRAFANA_SECRET_KEY=\nGRAFANA_ADMIN_PASSWORD=""\nOTHER=x'
    file.write_text(mine)
    file.chmod(0o644)
    added = ["MLFLOW_CRYPTO_KEK_PASSPHRASE", "GRAFANA_ADMIN_PASSWORD", "GRAFANA_SECRET_KEY", "GLASSFORMER_API_KEY"]
    assert secrets.write_missing(file) == added
    assert file.read_text().startswith(mine + "\n")
    assert values(file)["POSTGRES_PASSWORD"] == "kept"
    assert values(file)["GRAFANA_SECRET_KEY"], "an empty one is none, and compose reads the last"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    assert secrets.write_missing(file) == []
    assert file.read_bytes() == before


def test_links_are_not_followed_and_a_concurrent_file_is_not_replaced(tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("x")
    (tmp_path / ".env").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        secrets.write_missing(tmp_path / ".env")
    assert target.read_text() == "x"
    with pytest.raises(FileExistsError):
        secrets._create(target)
    assert target.read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "elsewhere"]


def test_command_writes_secrets_without_printing_them(tmp_path):
    def run(file):
        command = [sys.executable, "-m", "deploy.secrets", "--file", str(file)]
        environment = os.environ | {"GLASSFORMER_HOME": str(tmp_path / "home")}
        return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)

    first, again, bad = run(tmp_path / ".env"), run(tmp_path / ".env"), run(tmp_path / "no" / ".env")
    assert (first.returncode, again.returncode, bad.returncode) == (0, 0, 1)
    assert not any(value in first.stdout + again.stdout for value in values(tmp_path / ".env").values())
    assert "nothing was changed" in again.stdout
    assert "No such file" in bad.stderr
    assert len(bad.stderr.splitlines()) == 1
    assert (tmp_path / "home").is_dir(), "the exporter's container reads it"


def test_git_and_docker_ignore_the_secrets_file():
    ignored = subprocess.run(
        ["git", "check-ignore", ".env", ".env.old"], cwd=CHECKOUT, capture_output=True, check=False
    )
    assert ignored.stdout.split() == [b".env", b".env.old"]
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "nothing goes into an image that is not named"
    assert not any(line.startswith("!") and "env" in line and line != "!python_env.yaml" for line in lines)
