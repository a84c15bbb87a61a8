"""Folders that somebody else made: nothing outside of them is read, links and indexes included."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.huggingface import FolderError
from models.huggingface.tensors import INDEX, SINGLE, Tensors, files, read_json
from tasks.imported_weights import start_from
from training.errors import TrainingError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "outside.safetensors")
    (tmp_path / "outside.json").write_text('{"model_type": "bert"}')
    return made


def index(folder, **places):
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "sub/x.safetensors",
        "..",
        ".",
        "",
        "a\0b",
        "x" * 5000,
        5,
        None,
        ["a"],
        {"a": 1},
        "a/../b",
    ],
)
def test_index_refuses_invalid_shard_names(folder, name):
    index(folder, a=name)
    with pytest.raises(FolderError, match=r"weight_map names|missing"):
        files(folder)


def test_links_out_of_the_folder_are_not_read(folder, tmp_path):
    (folder / "shard.safetensors").symlink_to(tmp_path / "outside.safetensors")
    index(folder, a="shard.safetensors")
    with pytest.raises(FolderError, match=r"shard\.safetensors: is a link that leads out of its folder"):
        files(folder)
    (folder / SINGLE).symlink_to(tmp_path / "outside.safetensors")
    with pytest.raises(FolderError, match="leads out of its folder"):
        Tensors(folder)
    for target in (tmp_path / "outside.json", "/dev/zero", "/etc/passwd", "config.json"):
        (folder / "config.json").symlink_to(target)
        with pytest.raises(FolderError, match="is a link"):
            read_json(folder / "config.json")
        (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(FolderError, match="no plain file"):
        read_json(folder / "config.json")


def test_hub_cache_links_to_blobs_are_read(tmp_path):
    blobs, folder = tmp_path / "models--x--y" / "blobs", tmp_path / "models--x--y" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    folder.mkdir(parents=True)
    save_file({"a": np.ones(2, np.float32)}, blobs / "aa")
    (folder / SINGLE).symlink_to("../../blobs/aa")
    assert Tensors(folder).names == {"a"}
    (folder / SINGLE).unlink()
    (folder / SINGLE).symlink_to(tmp_path / "outside")
    with pytest.raises(FolderError):
        Tensors(folder)


@pytest.mark.parametrize(
    "text",
    ['{"a": ' + "[" * 50_000, "[1]", "5", "", '{"model_type": ["bert"]}', '{"model_type": "bert", "hidden_size": "x"}',
     '{"model_type": "bert", "hidden_size": {}, "num_attention_heads": null}', '{"model_type": "bert", "num_attention_heads": 0}',
     '{"model_type": "bert", "hidden_size": 1e400}', '{"model_type": "llama", "rope_scaling": 5}'],
)  # fmt: skip
def test_invalid_config_error_is_one_line(folder, tmp_path, text):
    (folder / "config.json").write_text(text)
    save_file({"a": np.ones(2, np.float32)}, folder / SINGLE)
    with pytest.raises(TrainingError) as raised:
        start_from(folder)
    assert str(folder) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x08\0\0\0\0\0\0\0{}", b"\xff\xff\xff\xff\0\0\0\0{}", b"{}" * 100]
)
def test_corrupt_tensor_file_is_refused(folder, content):
    (folder / SINGLE).write_bytes(content)
    with pytest.raises(FolderError, match="cannot be read"):
        Tensors(folder)
