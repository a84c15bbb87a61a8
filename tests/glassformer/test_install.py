"""`pip install .` into an empty environment, then a pipeline from another folder."""

import os
import random
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from artifacts.home import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
# Parts of the checkout that no command needs.
LEFT_OUT = {
    ".ci", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md", "SECURITY.md",
    "benchmarks", "docs", "requirements-frameworks.lock", "tests",
}  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment that holds Glassformer as a package, and what it needs.

    The dependencies are 7 GB: they are not downloaded again, but linked from the environment of the tests, each in its place
    (a line of path would not do: the corpus `docs` reads the packages in the environment's own folder). For the same reason
    pip resolves nothing, and the build backend is the one of the tests.
    """
    folder = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    for entry in (entry for path in sys.path if path.endswith("site-packages") for entry in Path(path).iterdir()):
        ours = entry.name.lower().startswith(("glassformer", "_glassformer", "pip"))
        if not ours and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", CHECKOUT]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (CHECKOUT / "build").exists()
    return folder


@pytest.fixture
def glassformer(environment, tmp_path):
    """Runs the installed command in a folder of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GLASSFORMER_", "PYTHON"))
    }

    def run(*words):
        command = [environment / "bin" / "glassformer", *words]
        done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_wheel_holds_all_tracked_parts_except_excluded_ones():
    tracked = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    if not tracked:
        pytest.skip("no git repository")
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    held = {*wheel["packages"], *wheel["force-include"]} - {"deploy/glassformer.pth"}
    assert held == {path.split("/")[0] for path in tracked.splitlines()} - LEFT_OUT
    assert all(
        place in (f"glassformer/project/{name}", name.split("/")[-1]) for name, place in wheel["force-include"].items()
    )


def test_build_backend_version_matches_the_lock_file():
    (backend,) = PROJECT["build-system"]["requires"]
    assert backend in PROJECT["project"]["optional-dependencies"]["dev"]
    assert f"\n{backend} " in (CHECKOUT / "requirements.lock").read_text()


@pytest.mark.slow
def test_installed_command_runs_a_pipeline_from_another_folder(glassformer, tmp_path):
    shown = glassformer("run", "tiny", "--promote")
    assert "glassformer serve 'glassformer-tiny'" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlruns", "var"}
    assert "7 from the cache, 0 to run" in glassformer("plan", "tiny")
    assert "tiny" in glassformer("runs")
    answer = glassformer(
        "predict", "models:/glassformer-tiny@champion", "Return the sum over an axis.", "--format", "csv"
    )
    assert answer.splitlines()[0].startswith('"text","prediction",')
    assert "is champion" in glassformer("promote", "--explain", "glassformer-tiny")


@pytest.mark.slow
def test_installed_command_reads_files_of_the_current_folder(glassformer, tmp_path):
    words = random.Random(1)
    rows = [
        f"{' '.join(''.join(words.choices('abcdefghij', k=5)) for _ in range(8))},{topic}"
        for topic in ("cats", "dogs") * 60
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["text,topic", *rows]))
    (tmp_path / "mine.yaml").write_text(
        "extends: tiny\n"
        "nodes: {prepare_data: {config: {source: '*.csv', label_column: topic, min_characters: 5}}}\n"
        "each: {train_tokenizer.vocab_size: [300, 310]}\n"
    )
    glassformer("run", "mine.yaml", "--to", "train_tokenizer")
    assert len(list((tmp_path / "var" / "artifacts" / "tokenizer").iterdir())) == 2
    folder = glassformer("step", "prepare_data", "--source", "mine.csv", "--label_column", "topic", "--threads", "1")
    assert Path(folder.strip()).is_relative_to(tmp_path / "var" / "artifacts" / "corpus")
