"""The packages of a fingerprint: those a run needs, at their installed versions."""

from importlib import metadata

from pipelines import environment


def test_packages_include_run_dependencies_and_no_tools():
    found = environment.packages()
    assert {"torch", "mlflow", "sentencepiece", "filelock"} <= set(found), "direct and indirect needs"
    assert not {"pytest", "ruff", "mypy", "transformers"} & set(found), "a new linter must not retrain a model"


def test_package_versions_are_the_installed_ones():
    found = environment.packages()
    assert {name: metadata.version(name) for name in ("torch", "pyyaml", "python-json-logger")}.items() <= found.items()
