"""The schema of pipeline files: up to date, true of every file that we have, and false of what the reader refuses."""

import json
import subprocess
import sys

import jsonschema_rs
import pytest
import yaml

from artifacts.home import CHECKOUT

FILE = CHECKOUT / "pipelines" / "schema.json"
PIPELINES = sorted({*CHECKOUT.glob("pipelines/*.yaml"), *CHECKOUT.glob("tests/**/tiny*.yaml")})


@pytest.fixture(scope="module")
def valid():
    return jsonschema_rs.Draft202012Validator(json.loads(FILE.read_text())).is_valid


def test_committed_schema_is_up_to_date(tmp_path):
    command = [sys.executable, "-m", "glassformer", "schema", "--check"]
    done = subprocess.run([*command, FILE], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stale = tmp_path / "schema.json"
    stale.write_text("{}")
    done = subprocess.run([*command, stale], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, f"glassformer schema > {stale}" in done.stderr) == (1, True)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_project_pipelines_match_the_schema(valid, path):
    text = path.read_text()
    assert valid(yaml.safe_load(text))
    assert path.parent != FILE.parent or text.startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("extends: docs", True),
        ("nodes: {pretrain: false}", True),
        ("nodes: {pretrain: {config: {max_updates: 20, preset: bert}}}", True),
        ("nodes: {again: {step: pretrain, config: {seed: 2}, retries: 2}}", True),
        ("nodes: {pretrain: {step: finetune, config: {task: classification}}}", True),
        ("nodes: {prepare_data: {config: {license: 5, min_characters: 10}}}", True),
        ("nodes: {evaluate: {inputs: {corpus: prepare_data, rivals: [a, b]}}}", True),
        ("each: {finetune.seed: [1, 2]}", True),
        ("gate: {latency: {p50: null}, margin: 0.01}", True),
        ("node: {}", False),
        ("nodes: {pretrain: true}", False),
        ("nodes: {pretrain: {confg: {}}}", False),
        ("nodes: {pretrain: {config: {max_update: 20}}}", False),
        ("nodes: {pretrain: {config: {max_updates: -1}}}", False),
        ("nodes: {again: {step: pretrain, config: {max_update: 2}}}", False),
        ("nodes: {again: {step: pretrane}}", False),
        ("nodes: {pretrain: {retries: 11}}", False),
        ("nodes: {pretrain: {inputs: {corpse: prepare_data}}}", False),
        ("each: {seed: [1, 2]}", False),
        ("gate: {latancy: {}}", False),
    ],
)
def test_schema_accepts_valid_and_rejects_invalid_pipelines(valid, text, expected):
    assert valid(yaml.safe_load(text)) == expected
