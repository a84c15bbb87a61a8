"""The Dockerfiles: pinned, locked to the hash, without a compiler or pip, not root, and with all that they run."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.markers import Marker

from artifacts.home import CHECKOUT

IMAGES = ("mlflow", "exporter", "pipeline", "serving")
FOLDER = CHECKOUT / "deploy" / "images"


def stages(name):
    """The instructions of each stage, lines that go on joined."""
    text = re.sub(
        r"\\\n\s*", "", re.sub(r"^#.*\n", "", (FOLDER / f"{name}.Dockerfile").read_text(), flags=re.MULTILINE)
    )
    found = []
    for line in filter(None, text.splitlines()):
        if line.startswith("FROM "):
            found.append([])
        found[-1].append(line)
    return found


def pins(file, python="3.11.0"):
    """Versions by package, of the lines that a Python of this version on Linux takes."""
    machine = {"python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": "linux"}
    lines = re.findall(r"^([a-z0-9-]+)==([^\s;]+)(?: *; *([^\\\n]+))?", file.read_text(), re.MULTILINE)
    return {package: version for package, version, when in lines if not when or Marker(when.strip()).evaluate(machine)}


@pytest.mark.parametrize("name", IMAGES)
def test_image_is_built_in_stages_from_pinned_bases(name):
    bases = [stage[0].split()[1] for stage in stages(name)]
    assert len(bases) > 1
    assert all(re.search(r":\d+\.\d+\.\d+", base) for base in bases)
    assert re.match(r"python:3\.11\.\d+-slim-", bases[-1])


@pytest.mark.parametrize("name", IMAGES)
def test_image_installs_only_wheels_with_known_hashes(name):
    text = (FOLDER / f"{name}.Dockerfile").read_text()
    installs = re.findall(r"pip install[^&]*", re.sub(r"\\\n", " ", text))
    assert len(installs) == 1
    for option in (
        "--require-hashes",
        "--only-binary :all:",
        f"--requirements {name}.in",
        "--constraints requirements.lock",
    ):
        assert option in " ".join(installs[0].split())


@pytest.mark.parametrize("name", IMAGES)
def test_final_stage_is_not_root_and_has_no_build_tools(name):
    final = stages(name)[-1]
    users = [line.split()[1] for line in final if line.startswith("USER ")]
    assert users == ["10001:10001"]
    assert not any(re.search(r"apt|gcc|build-essential|curl|pip install|ADD ", line) for line in final)
    assert any("pip uninstall" in line for line in final)
    assert final.index("USER 10001:10001") > max(i for i, line in enumerate(final) if line.startswith(("COPY", "RUN")))


@pytest.mark.parametrize("name", IMAGES)
def test_image_package_versions_match_the_lock(name):
    python = re.search(r"python:(3\.\d+\.\d+)", stages(name)[-1][0].split()[1])[1]
    locked = pins(CHECKOUT / "requirements.lock", python)
    for package, version in pins(FOLDER / f"{name}.in").items():
        if package in locked:
            assert version == locked[package], package
        else:  # its hashes stand beside it
            assert re.search(
                rf"^{package}==\S+ \\\n    --hash=sha256:[0-9a-f]", (FOLDER / f"{name}.in").read_text(), re.M
            )


def test_pipeline_image_has_exactly_the_project_dependencies():
    needed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(pins(FOLDER / "pipeline.in")) == {re.split(r"[=><]", line)[0] for line in needed}


@pytest.mark.parametrize("name", ["mlflow", "exporter", "serving"])
def test_compose_tags_the_image_with_its_version(name):
    service = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"][name]
    assert service["build"]["dockerfile"] == f"deploy/images/{name}.Dockerfile"
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    expected = pins(FOLDER / "mlflow.in")["mlflow"] if name == "mlflow" else version
    assert service["image"] == f"glassformer/{name}:{expected}"


def copied(name, into):
    """Lay out what the last stage copies from the checkout, as far as .dockerignore lets it."""
    ignore = (CHECKOUT / ".dockerignore").read_text().splitlines()
    for line in stages(name)[-1]:
        if line.startswith("COPY ") and "--from" not in line:
            *sources, target = line.split()[1:]
            for source in sources:
                assert f"!{source.split('/')[0]}" in ignore, f".dockerignore keeps {source} out"
                place = into / target / (source.split("/")[-1] if target.endswith("/") else "")
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (CHECKOUT / source).is_dir() else shutil.copy
                copy(CHECKOUT / source, place)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("exporter", ["deploy.exporter", "--help"]),
        ("serving", ["deploy.serving", "--help"]),
        ("serving", ["deploy.serving.lifecycle"]),  # what --help does not load
        ("serving", ["deploy.serving.registry"]),
        ("pipeline", ["pipelines", "--help"]),
        ("pipeline", ["pipelines", "plan", "tiny"]),
    ],
)
def test_copied_files_are_enough_to_run_each_command(tmp_path, name, command):
    copied(name, tmp_path / "app")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GLASSFORMER_HOME": str(tmp_path / "home")}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
    told = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path / "app",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
