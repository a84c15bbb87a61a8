"""The command: what it prints, for people and for programs, and how it refuses."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from artifacts.home import CHECKOUT
from models import presets
from models.config import ModelConfig
from models.show import __main__ as command
from models.torch import Classifier, Encoder
from models.torch.initialization import initialize

CONFIG = ModelConfig(d_model=16, d_ff=24, num_heads=2, num_layers=12, max_length=8, vocab_size=30)


@pytest.fixture(autouse=True)
def _a_terminal_of_usual_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "118")


def shown(capsys, *arguments):
    code = command.main(arguments)
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        sys.exit(command.main(arguments))
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    return said.err


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A classifier's folder, as a training leaves it, with an older config that lacks fields of today."""
    folder = tmp_path_factory.mktemp("checkpoint")
    network = nn.ModuleDict({"encoder": Encoder(CONFIG), "classifier": Classifier(CONFIG, 5)})
    initialize(network, CONFIG, 0)
    save_file(dict(network.named_parameters()), folder / "weights.safetensors")
    old = ("d_model", "d_ff", "num_heads", "num_layers", "max_length", "vocab_size", "norm", "dropout")
    (folder / "model.json").write_text(json.dumps({name: getattr(CONFIG, name) for name in old}))
    (folder / "task.json").write_text(json.dumps({"task": "classification", "settings": {}}))
    return folder, network


def test_show_without_arguments_lists_one_preset_per_line(capsys):
    lines = shown(capsys).splitlines()
    assert [line.split()[0] for line in lines[1:-2]] == [*presets.available(), "default"]
    assert next(line for line in lines if line.startswith("gpt2")).split()[1:6] == ["decoder", "12", "x", "768", "124"]


def test_error_names_invalid_preset_file(capsys, monkeypatch, tmp_path):
    (tmp_path / "odd.yaml").write_text("# Nobody 2030\ndepth: 3\n")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    assert "models/presets/odd.yaml: depth: Extra inputs are not permitted" in refused(capsys)
    assert "depth: Extra inputs" in refused(capsys, "odd")


def test_parameter_tree_sums_to_total(capsys):
    told = json.loads(shown(capsys, "t5", "--json"))

    def check(module):
        own = sum(torch.Size(shape).numel() for shape in module["tensors"].values())
        inner = sum(check(child) for child in module["children"])
        assert module["parameters"] == module["times"] * (own + inner)
        return module["parameters"]

    assert check(told["tree"]) == told["parameters"] == 222_903_552


def test_identical_layers_are_shown_once(capsys):
    lines = shown(capsys, "bert").splitlines()
    assert sum("attention_norm" in line for line in lines) == 1
    (layers,) = [line for line in lines if "layers x 12" in line]
    assert "85,054,464" in layers


def test_options_override_preset_fields_part_and_head(capsys):
    told = json.loads(shown(capsys, "bert", "--set", "d_model=64", "num_heads=4", "--vocab_size", "100", "--json"))
    assert (told["config"]["d_model"], told["config"]["vocab_size"], told["published"]) == (64, 100, "")
    body = json.loads(shown(capsys, "bert", "--head", "none", "--json"))
    assert body["parameters"] == 108_891_648
    other = json.loads(shown(capsys, "bert", "--part", "decoder", "--json"))
    assert (other["part"], other["head"]) == ("decoder", "lm")


def test_checkpoint_folder_is_shown_from_its_weights(capsys, checkpoint):
    folder, network = checkpoint
    told = json.loads(shown(capsys, str(folder), "--json"))
    assert told["parameters"] == sum(value.numel() for value in network.parameters())
    assert (told["part"], told["head"]) == ("encoder", "classifier")
    encoder, classifier = told["tree"]["children"]
    assert [child["name"] for child in encoder["children"]] == ["embedding", "layers", "final_norm"]
    assert encoder["children"][1]["times"] == 12, "layers 10 and 11 come after 9"
    layer = [child["name"] for child in encoder["children"][1]["children"]]
    assert layer == ["attention_norm", "attention", "feed_forward_norm", "feed_forward"]
    assert [child["name"] for child in classifier["children"]] == ["dense", "output"]
    assert shown(capsys, str(folder)).count("\n") > 20


def test_broken_checkpoint_error_names_file(capsys, checkpoint, tmp_path):
    folder, _ = checkpoint
    assert "model.json: missing" in refused(capsys, str(tmp_path))
    for name in ("model.json", "task.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert "weights.safetensors: missing" in refused(capsys, str(tmp_path))
    (tmp_path / "weights.safetensors").write_bytes(b"PK\x03\x04 a pickle, say")
    assert "weights.safetensors: no safetensors file" in refused(capsys, str(tmp_path))
    (tmp_path / "model.json").write_text('{"d_model": 16, "depth": 3}')
    assert "model.json: depth: Extra inputs are not permitted" in refused(capsys, str(tmp_path))
    (tmp_path / "model.json").write_text("[")
    assert "is broken" in refused(capsys, str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bret"], "no preset and no folder 'bret'; did you mean 'bert'?"),
        (["qqq"], "no preset and no folder 'qqq'; known: default, albert, bert"),
        (["no/such/folder"], "no/such/folder: no such folder"),
        (["bert", "--set", "dmodel=3"], "--set dmodel: no such field; did you mean 'd_model'?"),
        (["bert", "--set", "d_model"], "--set d_model: give FIELD=VALUE"),
        (["bert", "--set", "preset=gpt2"], "--set preset: no such field"),
        (["bert", "--set", "num_heads=7"], "num_heads=7 does not divide d_model=768"),
        (["bert", "--set", "norm=mid"], "norm: Input should be 'pre' or 'post'"),
        (["bert", "--set", "network=recurent"], "network=recurent: no file models/torch/recurent.py"),
        (["bert", "--vocab_size", "-3"], "'-3' is no number from 1 on"),
        (["bert", "--length", "600"], "--length 600: learned positions end at max_length=512"),
        (["gpt2", "--head", "masked_lm"], "--head masked_lm stands on an encoder, not on a decoder"),
        (["bert", "--diff", "rberta"], "did you mean 'roberta'?"),
        (["--diff", "bert"], "--diff and --set need a preset before them"),
        (["bert", "--depth", "3"], "unrecognized arguments: --depth; did you mean 'length'?"),
    ],
)
def test_invalid_arguments_give_one_line_error(capsys, arguments, said):
    assert said in refused(capsys, *arguments)


def test_set_is_refused_for_checkpoint(capsys, checkpoint):
    assert "a checkpoint cannot be changed" in refused(capsys, str(checkpoint[0]), "--set", "d_model=8")


def test_diff_of_bert_and_modernbert_lists_fields_and_parameters(capsys):
    told = json.loads(shown(capsys, "bert", "--diff", "modern-encoder", "--json"))
    assert {name: (one["first"], one["second"]) for name, one in told["fields"].items()} == {
        "d_ff": (3072, 1152), "num_layers": (12, 22), "max_length": (512, 8192), "window": (0, 128),
        "global_every": (0, 3), "positions": ("learned", "rope"), "rope_base": (1e4, 16e4),
        "window_rope_base": (0, 1e4), "norm": ("post", "pre"), "layer_norm_epsilon": (1e-12, 1e-5),
        "embedding_norm": (None, True), "activation": ("gelu_exact", "geglu"), "bias": (True, False),
        "token_types": (2, 0), "dropout": (0.1, 0.0), "pooling": ("cls", "mean"), "vocab_size": (30522, 50368),
    }  # fmt: skip
    moved = told["parameters"]["modules"]
    assert moved["encoder.embedding.positions"] == {"first": 512 * 768, "second": None}
    assert moved["encoder.final_norm"] == {"first": None, "second": 768}
    gained = sum((one["second"] or 0) - (one["first"] or 0) for one in moved.values())
    assert gained == told["parameters"]["second"] - told["parameters"]["first"]


def test_diff_explains_fields_and_cites_paper(capsys):
    told = shown(capsys, "bert", "--diff", "modern-encoder")
    assert "Norm before each sublayer, or after it as in BERT" in told
    assert "bert: as the Transformer of 2017; modern-encoder: section 2.1.1" in told
    (line,) = [line for line in told.splitlines() if line.strip().startswith("encoder.layers.feed_forward.outer")]
    assert line.split()[1:] == ["28,320,768", "19,464,192", "-31.3%"]


def test_diff_of_preset_with_itself_lists_only_set_fields(capsys):
    told = json.loads(shown(capsys, "bert", "--diff", "bert", "--set", "norm=pre", "--json"))
    assert set(told["fields"]) == {"norm"}
    assert set(told["parameters"]["modules"]) == {"encoder.embedding.norm", "encoder.final_norm"}
    assert "no parameters differ" in shown(capsys, "bert", "--diff", "bert", "--set", "dropout=0.2")


def test_show_uses_neither_torch_nor_colours():
    """Loading torch takes seconds; so the formulas are there."""
    program = (
        "import sys; from models.show.__main__ import main; "
        "assert main(['llama']) == main([]) == main(['bert', '--diff', 't5']) == 0; "
        "assert 'torch' not in sys.modules"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "\x1b" not in told.stdout


def test_closed_output_pipe_is_no_error():
    told = subprocess.run(
        f"{sys.executable} -m models.show bert | head -1",
        shell=True,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("bert")
    assert told.stderr == ""
