"""Backups with a real PostgreSQL server: destroyed and restored, all or nothing, and without a password to be seen."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec

import psutil
import pytest

from tests.deploy.backup.postgresql import ENCODED, PASSWORD, server
from tests.deploy.backup.world import World, files_under
from tests.pipeline_home import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres():
    if not find_spec("psycopg2"):
        assert not os.environ.get("CI"), "CI has the dev extra, which has psycopg2"
        pytest.skip("psycopg2 is not in this environment; MLflow needs it for PostgreSQL (the dev extra has it)")
    with server() as (port, socket_folder):
        yield port, socket_folder


def psql(postgres, database):
    port, host = postgres[:2]
    return ["psql", "-h", host, "-p", str(port), "-U", "mlflow", "-d", database]


def query(postgres, text, database="postgres", code=0):
    command = [*psql(postgres, database), "-XqAt", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run([*command, "-c", text], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout.strip()


def uri_of(postgres, database):
    return f"postgresql+psycopg2://mlflow:{ENCODED}@127.0.0.1:{postgres[0]}/{database}"


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    query(postgres, "CREATE DATABASE one")
    return World(tmp_path_factory.mktemp("world") / "here", uri_of(postgres, "one")).build()


@pytest.fixture(scope="module")
def made(world):
    world.backup("create", "--to", world.folder.parent / "backups", "--name", "one")
    return world.folder.parent / "backups" / "one"


@pytest.fixture
def empty(postgres, tmp_path):
    """A world of its own with an empty database."""
    name = f"d{time.monotonic_ns()}"
    query(postgres, f"CREATE DATABASE {name}")
    return World(tmp_path / "w", uri_of(postgres, name)), name


def move(world, other):
    """Where artifacts lay and where they go: the tests of this file share one world."""
    return f"--move={world.folder}={other.folder}"


def test_restore_recovers_everything_after_total_loss(postgres, world, made):
    asked, files = world.ask(), files_under(world.folder / "mlruns")
    home = {
        name: digest
        for name, digest in files_under(world.home).items()
        if name.split("/")[0] in ("artifacts", "records", "runs")
    }
    query(postgres, "DROP DATABASE one")
    query(postgres, "CREATE DATABASE one")
    world.destroy()
    assert f"--move {world.folder}/mlruns/0=FOLDER" in world.backup("restore", made, code=1), "no file says where"
    assert "3 runs, 1 model versions, 1 aliases" in world.backup("restore", made, move(world, world))
    assert world.ask() == asked
    assert files_under(world.folder / "mlruns") == files
    assert files_under(world.home) == home
    # Sequences and constraints are back
    world.python("from mlflow import MlflowClient; MlflowClient().create_run('0')")
    query(postgres, "INSERT INTO runs (run_uuid) SELECT run_uuid FROM runs", "one", code=1)


def test_restore_moves_existing_tables_to_a_schema_only_with_replace(postgres, world, made, empty):
    other, name = empty
    query(postgres, "CREATE TABLE public.mine (a int); INSERT INTO public.mine VALUES (7)", name)
    assert "there already" in other.backup("restore", made, move(world, other), code=1)
    told = other.backup("restore", made, move(world, other), "--replace")
    schema = next(line for line in told.splitlines() if "DROP SCHEMA" in line).split('"')[1]
    assert query(postgres, f"SELECT a FROM {schema}.mine", name) == "7"
    assert query(postgres, "SELECT count(*) FROM public.runs", name) == "3"
    other.backup("create", "--to", other.folder / "backups", "--name", "two")
    assert (
        b"mine"
        not in subprocess.run(
            ["pg_restore", "--list", other.folder / "backups" / "two" / "store.pgdump"], capture_output=True, check=True
        ).stdout
    ), "what lies aside is in no later backup"


def test_a_restore_that_fails_in_the_database_changes_nothing(postgres, world, made, empty, tmp_path):
    other, name = empty
    query(postgres, "CREATE TABLE public.mine (a int)", name)
    fake = tmp_path / "bin" / "pg_restore"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nexec head -c 40000 <<EOF\n$(/usr/bin/env -i PATH=/usr/bin:/bin pg_restore "$@")\nEOF\n')
    fake.chmod(0o755)
    dying = World(other.folder, other.uri, (("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}"),))
    fake.write_text(fake.read_text() + "exit 1\n")
    dying.backup("restore", made, move(world, other), "--replace", code=1)
    assert (
        query(postgres, "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname LIKE 'public'", name)
        == "mine"
    )
    assert [path.name for path in other.folder.rglob("*") if path.is_file()] == []
    assert "restored" in other.backup("restore", made, move(world, other), "--replace"), "and it can be done again"


def test_restore_killed_after_the_database_step_resumes(postgres, world, made, empty):
    other, name = empty
    code = (
        "import os, signal, sys\nfrom deploy.backup.postgres import PostgresStore as P\nreal = P.restore\n"
        "def restore(*given):\n    real(*given)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "P.restore = restore\nsys.argv[0] = 'x'\nfrom deploy.backup.__main__ import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "restore", made, move(world, other)],
        cwd=ROOT,
        env=other.environment,
        capture_output=True,
    )
    assert done.returncode == -9, done.stderr
    assert not (other.home / "artifacts").exists()
    assert "going on with it" in other.backup("restore")
    assert (other.home / "artifacts").exists()
    assert query(postgres, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'before_%'", name) == "1", (
        "not done twice"
    )
    assert other.ask()["texts"] == ["text 0", "text 1", "text 2"]


def test_open_database_connection_blocks_a_restore(postgres, made, empty):
    other, name = empty
    command = [*psql(postgres, name), "-c", "SELECT pg_sleep(60)"]
    with subprocess.Popen(command) as asking:
        until = time.monotonic() + 20
        while query(postgres, f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'") == "0":
            assert time.monotonic() < until
            time.sleep(0.1)
        assert "has 1 open connections (psql on this machine" in other.backup("restore", made, code=1)
        asking.kill()


def test_wrong_password_and_missing_database_fail_with_one_line(postgres, world, tmp_path):
    def told(uri, *extra):
        return World(world.folder, uri, extra).backup("create", "--to", tmp_path, code=1)

    where = f"@127.0.0.1:{postgres[0]}"
    assert "check the password" in told(f"postgresql://mlflow:wrong-canary{where}/one")
    assert "wrong-canary" not in told(f"postgresql://mlflow:wrong-canary{where}/one")
    assert "PGPASSFILE" in told(f"postgresql://mlflow{where}/one", ("PGPASSFILE", str(tmp_path / "none")))
    assert "check MLFLOW_TRACKING_URI" in told(f"postgresql://mlflow:{ENCODED}{where}/none")
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:*:{PASSWORD}\n")
    file.chmod(0o600)
    World(world.folder, f"postgresql://mlflow{where}/one", (("PGPASSFILE", str(file)),)).backup(
        "create", "--to", tmp_path / "b"
    )


def test_no_password_is_on_a_command_line_or_in_the_backup(world, made, tmp_path):
    seen = set()
    command = [sys.executable, "-m", "deploy.backup", "create", "--to", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env=world.environment, stdout=subprocess.PIPE) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            for child in [watched, *watched.children(recursive=True)]:
                try:
                    seen.add(" ".join(child.cmdline()))
                except psutil.Error:
                    continue
    assert any("pg_dump" in line for line in seen)
    assert not any("canary" in line for line in seen)
    manifest = (made / "manifest.json").read_text()
    assert PASSWORD not in manifest
    assert ENCODED not in manifest


FAKE_DOCKER = """#!/bin/sh
# docker compose exec -T postgres PROGRAM ... / docker compose run --rm --no-deps -T mlflow PROGRAM ...
[ "$1 $2 $3 $4" = "compose exec -T postgres" ] && {{ shift 4; exec env PGHOST={host} PGPORT={port} "$@"; }}
[ "$1 $2 $3 $4 $5 $6" = "compose run --rm --no-deps -T mlflow" ] || exit 9
shift 6
for word; do shift; set -- "$@" "$(printf %s "$word" | sed 's#/mlflow#{volume}#g')"; done
exec "$@"
"""


def test_compose_deployment_is_backed_up_and_restored_through_docker(postgres, tmp_path):
    """No engine: a `docker` in its place runs the containers' commands here, on the real database and a folder."""
    query(postgres, "CREATE DATABASE mlflow")
    first = World(tmp_path / "w", uri_of(postgres, "mlflow")).build()
    volume, docker = tmp_path / "volume", tmp_path / "bin" / "docker"
    volume.mkdir()
    (first.folder / "mlruns").rename(volume / "artifacts")
    query(postgres, "UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'", "mlflow")
    docker.parent.mkdir()
    docker.write_text(FAKE_DOCKER.format(host=postgres[1], port=postgres[0], volume=volume))
    docker.chmod(0o755)
    path = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
    composed = World(first.folder, "http://127.0.0.1:5000", (("PATH", path),))
    composed.backup("create", "--compose", "--to", tmp_path / "b", "--name", "one")
    before = files_under(volume / "artifacts")
    assert (tmp_path / "b" / "one" / "artifacts" / "served" / "0").is_dir()
    assert "MLflow's artifacts in its volume" in composed.backup("restore", "--compose", "--to", tmp_path / "b", code=1)
    query(postgres, "DELETE FROM registered_model_aliases", "mlflow")
    (volume / "artifacts" / "damaged").touch()
    composed.backup("restore", "--compose", "--replace", "--to", tmp_path / "b")
    assert files_under(volume / "artifacts") == before
    assert len(list(volume.glob("artifacts.before-*/damaged"))) == 1
    assert query(postgres, "SELECT alias FROM registered_model_aliases", "mlflow") == "champion"
