"""Tokenizers that somebody else made: nothing outside of their folder is read, and a broken one is one line."""

import os

import pytest

from artifacts.artifact import ArtifactError
from artifacts.huggingface_tokenizer import take_over

FAST = '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"<s>": 0, "</s>": 1, "a": 2}, "unk_token": "a"}, "added_tokens": []}'
ABOUT = '{"eos_token": "</s>", "bos_token": "<s>"}'


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "tokenizer.json").write_text(FAST)
    (made / "tokenizer_config.json").write_text(ABOUT)
    (tmp_path / "to").mkdir()
    return made


def problem(folder):
    with pytest.raises(ArtifactError) as raised:
        take_over(folder, (folder.parent / "to").joinpath)
    assert str(folder) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_valid_tokenizer_folder_is_imported(folder):
    assert take_over(folder, (folder.parent / "to").joinpath)["special"]["sep"] == 1


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"])
@pytest.mark.parametrize("target", ["../outside.json", "/etc/passwd"])
def test_links_out_of_the_folder_are_not_read(folder, name, target):
    (folder.parent / "outside.json").write_text(FAST if name == "tokenizer.json" else ABOUT)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    assert f"{name}: is a link that leads out of its folder" in problem(folder)
    assert list((folder.parent / "to").iterdir()) == []


def test_named_pipe_in_folder_is_rejected(folder):
    os.mkfifo(folder / "config.json")
    assert "config.json: is no plain file" in problem(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"model": ' + "[" * 10_000),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", FAST.replace('"added_tokens": []', '"added_tokens": [5]')),
        ("tokenizer_config.json", "[1]"),
        ("tokenizer_config.json", '{"eos_token": {"content": ["x"]}}'),
        ("tokenizer_config.json", '{"eos_token": "</s>", "added_tokens_decoder": {"x": {"special": true}}}'),
        ("tokenizer_config.json", '{"eos_token": "</s>", "added_tokens_decoder": [1]}'),
        ("tokenizer_config.json", '{"a": ' + "[" * 50_000),
        ("config.json", '{"pad_token_id": "x"}'),
        ("config.json", '{"decoder_start_token_id": {}, "is_encoder_decoder": true}'),
    ],
)
def test_broken_tokenizer_error_is_one_line(folder, name, text):
    (folder / name).write_text(text)
    assert problem(folder)
