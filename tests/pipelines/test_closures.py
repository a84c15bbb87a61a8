"""Code that counts in each step's fingerprint: a short list of packages, and nothing that cannot change a result."""

import pytest

from pipelines import code, graph
from steps.step import load_step

TRAINING = {
    "artifacts",
    "models",
    "models/presets",
    "models/torch",
    "steps",
    "steps/finetune",
    "tasks",
    "tasks/classification",
    "training",
    "training/torch",
}
ALLOWED = {
    "prepare_data": {"artifacts", "redaction", "steps", "steps/prepare_data", "steps/prepare_data/embedded"},
    "train_tokenizer": {"artifacts", "steps", "steps/train_tokenizer"},
    "pretrain": TRAINING - {"steps/finetune", "tasks/classification"} | {"steps/pretrain", "tasks/masked_lm"},
    "finetune": TRAINING,
    "finetune_scratch": TRAINING,
    "evaluate": TRAINING - {"steps/finetune"} | {"redaction", "steps/evaluate", "steps/pages"},
    "register": {"artifacts", "models", "redaction", "steps", "steps/register", "tasks", "training"},
}


def files_of(pipeline: str, node_id: str, *settings: str) -> set[str]:
    node = graph.load(pipeline, list(settings))[0].nodes[node_id]
    config = node.config_with(dict.fromkeys(node.inputs, "-"))
    return set(code.closure(load_step(node.step).modules(config), config))


@pytest.mark.parametrize("node", ALLOWED)
def test_node_code_is_within_allowed_packages(node):
    assert {file.rpartition("/")[0] for file in files_of("tiny", node)} <= ALLOWED[node]


@pytest.mark.parametrize("node", ALLOWED)
def test_node_code_excludes_modules_without_effect_on_result(node):
    files = files_of("tiny", node)
    assert not {
        file
        for file in files
        if file.startswith(("telemetry/", "grafana/", "deploy/", "pipelines/", "models/huggingface/"))
        or (file.endswith(("/config.py", "/dependencies.py", "/__main__.py")) and file.startswith("steps/"))
    }
    assert not {f"steps/prepare_data/{name}.py" for name in ("images", "image_folder", "hub", "huggingface")} & files
    assert not {file for file in files if "distillation" in file}


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("prepare_data.source=hf:nowhere", "steps/prepare_data/hub.py"),
        ("prepare_data.source=names", "steps/prepare_data/embedded/names.py"),
        ("pretrain.init=hf:.", "models/huggingface/vit.py"),
    ],
)
def test_node_code_includes_modules_requested_by_config(setting, file):
    node = setting.partition(".")[0]
    assert file in files_of("tiny", node, setting)
    assert file not in files_of("tiny", node)
