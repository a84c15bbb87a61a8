"""Where state goes: for a checkout, and for an installed package."""

import importlib
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

home = importlib.import_module("artifacts.home")  # the package has a function of this name


@pytest.fixture
def installed(tmp_path):
    """The module as an installed package has it: in a copy of the checkout inside the package `glassformer`."""
    file = tmp_path / "site-packages" / "glassformer" / "project" / "artifacts" / "home.py"
    file.parent.mkdir(parents=True)
    shutil.copy(home.__file__, file)
    (tmp_path / "site-packages" / "glassformer" / "__init__.py").touch()
    specification = importlib.util.spec_from_file_location("installed_home", file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("GLASSFORMER_HOME", "MLFLOW_RUN_ID", "_MLFLOW_SERVER_ARTIFACT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "to be put back")
    del os.environ["MLFLOW_TRACKING_URI"]
    return folder


def test_checkout_keeps_state_in_its_own_folder(elsewhere):
    assert not home.INSTALLED
    assert home.home() == home.CHECKOUT / "var"
    home.use_default_store()
    assert os.environ.pop("_MLFLOW_SERVER_ARTIFACT_ROOT") == str(home.CHECKOUT / "mlruns")
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{home.CHECKOUT}/mlflow.db"


def test_installed_package_keeps_its_state_in_the_current_folder(installed, elsewhere):
    assert installed.INSTALLED
    assert installed.home() == elsewhere / "var"
    installed.use_default_store()
    assert "MLFLOW_TRACKING_URI" not in os.environ  # MLflow's own default is in the current folder


def test_configured_store_and_home_are_not_overridden(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path / "state"))
    home.use_default_store()
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///mine.db"
    assert home.home() == tmp_path / "state"


def test_calling_folder_is_entered_once(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv(home.CALLED_IN, str(tmp_path))
    home.enter_calling_folder()
    assert Path.cwd() == tmp_path
    monkeypatch.chdir(elsewhere)
    home.enter_calling_folder()
    assert Path.cwd() == elsewhere
