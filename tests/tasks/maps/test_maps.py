"""Maps of attention: the right weights under the right names, what is told of a head, and the picture."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from artifacts import Output
from artifacts import checkpoint as checkpoints
from artifacts.home import CHECKOUT
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from models.network import Part
from models.torch.torch_network import TorchNetwork
from tasks.maps import MapsError
from tasks.maps import __main__ as command
from tasks.maps.attention_maps import Maps, compute_maps, parts
from tasks.maps.habits import habit, shares_of
from tasks.maps.picture import svg
from tasks.model import Model
from tests.small_corpus import make_corpus, make_tokenizer

TEXT = "the river and the boat"
PARTS = {
    "encoder": {"encoder": Part("Encoder"), "head": Part("MaskedLMHead")},
    "decoder": {"decoder": Part("Decoder"), "head": Part("LMHead")},
    "pair": {"trunk": Part("EncoderDecoder"), "head": Part("LMHead")},
    "recurrent": {"encoder": Part("Encoder"), "classifier": Part("Classifier", {"num_labels": 2})},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    return Tokenizer(make_tokenizer(root, make_corpus(root)).path)


def config(tokenizer, **changes):
    size = {"d_model": 16, "d_ff": 24, "num_heads": 2, "num_layers": 2, "max_length": 32, "initializer_std": 0.5}
    return ModelConfig(**{**size, "vocab_size": tokenizer.vocab_size, **changes})


def model(tokenizer, kind, task="masked_lm", **changes):
    """Kind: encoder, decoder, pair, recurrent."""
    made = config(tokenizer, **changes)
    network = TorchNetwork(PARTS[kind], made)
    network.initialize(0)
    return Model(network, tokenizer, made, task, {})


def test_encoder_maps_match_its_attention_weights(tokenizer):
    made = model(tokenizer, "encoder")
    maps = compute_maps(made, TEXT)
    ids = [tokenizer.cls_id, *tokenizer.encode(TEXT), tokenizer.sep_id]
    expected = made.network.module.encoder.attention_maps(torch.tensor([ids]))
    assert maps.part == "encoder"
    assert (maps.rows[0], maps.rows[-1], maps.rows) == ("[CLS]", "[SEP]", maps.columns)
    assert "".join(maps.columns[1:-1]).strip() == TEXT
    for ours, theirs in zip(maps.layers, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs[0].detach().numpy())


def test_mask_in_text_becomes_special_token(tokenizer):
    maps = compute_maps(model(tokenizer, "encoder"), "the [MASK] and the boat")
    assert maps.rows.count("[MASK]") == 1
    assert maps.rows[maps.rows.index("[MASK]") - 1].strip() == "the", "no space between: a word's token holds it"


def test_decoder_maps_are_causal(tokenizer):
    maps = compute_maps(model(tokenizer, "decoder", "causal_lm"), TEXT)
    assert (maps.part, maps.rows[0]) == ("decoder", "[CLS]")
    assert "[SEP]" not in maps.rows
    for weights in maps.layers:
        assert not np.triu(weights, 1).any()
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_encoder_decoder_maps_cover_source_and_target(tokenizer):
    made = model(tokenizer, "pair", "seq2seq")
    assert parts(made) == ["encoder", "decoder", "memory"]
    maps = compute_maps(made, TEXT, target="a boat")
    written = len(tokenizer.encode("a boat"))
    assert maps.part == "memory"
    assert maps.columns[0] == "[CLS]"
    assert maps.rows[-1] == "[SEP]", "the row of a token is where it is written"
    assert maps.layers[0].shape == (2, written + 1, len(maps.columns))
    own = compute_maps(made, TEXT, "decoder", target="a boat")
    assert (own.rows[0], own.rows) == ("[CLS]", own.columns)
    assert compute_maps(made, TEXT, "encoder").rows == maps.columns


def test_maps_limit_number_of_tokens(tokenizer):
    assert len(compute_maps(model(tokenizer, "encoder"), TEXT * 9, tokens=7).rows) == 7
    assert len(compute_maps(model(tokenizer, "encoder", max_length=5), TEXT * 9).rows) == 5


def test_missing_attention_part_or_text_is_refused(tokenizer):
    with pytest.raises(MapsError, match="--of memory: a model for masked_lm has encoder"):
        compute_maps(model(tokenizer, "encoder"), TEXT, "memory")
    with pytest.raises(MapsError, match="the text is empty"):
        compute_maps(model(tokenizer, "encoder"), "")
    bare = model(tokenizer, "recurrent", "classification", network="recurrent")
    with pytest.raises(MapsError, match="no attention to look at"):
        compute_maps(bare, TEXT)


def test_head_habits_match_hand_calculation():
    names = ["a", "b", "c", "d"]
    eye = np.eye(4, dtype=np.float32)
    assert str(habit(eye, names, names)) == "at itself 100%"
    assert str(habit(np.roll(eye, -1, 1), names, names)) == "one before 100%"
    assert str(habit(np.roll(eye, 1, 1), names, names)) == "one after 100%"
    at_c = np.tile(np.array([0.1, 0.1, 0.7, 0.1], np.float32), (4, 1))
    assert str(habit(at_c, names, names)) == "at c 70%"
    assert str(habit(np.full((4, 4), 0.25, np.float32), names, names)) == "over 4.0 tokens"
    assert set(shares_of(at_c[:2], names, square=False)) == {"at c"}, "of other tokens, none is before"


def test_svg_shows_each_weight_once_and_is_reproducible():
    rows, columns = ["write", "<&>"], ["one", "two", "three"]
    weights = np.array([[[0.9, 0.1, 0.0], [0.0, 0.05, 0.95]]], np.float32)
    maps = Maps("memory", rows, columns, [weights])
    drawn = svg(maps, [0], [0], 'a "title" & more')
    assert drawn == svg(maps, [0], [0], 'a "title" & more')
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    looks = [rect for rect in root.iter(f"{space}rect") if rect.get("fill-opacity")]
    assert [look.get("fill-opacity") for look in looks] == ["0.95", "0.11", "0.05", "1.00"]
    told = [title.text for title in root.iter(f"{space}title")]
    assert told == ['a "title" & more', "write looks at one: 90%", "write looks at two: 10%", "<&> looks at three: 95%"]
    assert {"write", "<&>", "one", "two", "three", "layer 1, head 1"} <= {
        text.text for text in root.iter(f"{space}text")
    }


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    made = model(tokenizer, "encoder")
    output = Output(
        "checkpoint", tmp_path_factory.mktemp("work"), step="pretrain", root=tmp_path_factory.mktemp("root")
    )
    checkpoints.write(
        output,
        config=made.config.model_dump(),
        task="masked_lm",
        settings={"mask_share": 0.15},
        weights=made.network.weights(),
        history={},
        tokenizer=tokenizer,
    )
    return output.commit().path


def test_command_prints_head_habits_and_writes_svg(folder, tmp_path, capsys):
    out = tmp_path / "new" / "maps.svg"
    assert command.main([str(folder), TEXT, "--out", str(out), "--layers", "2", "--heads", "1,2"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("encoder: 2 layers, tokens [CLS] the")
    assert [line.split("   ")[0].strip() for line in told[1:5]] == [
        f"layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2)
    ]
    assert out.read_text().count("layer 2, head") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}", TEXT, "--layers", "3", "--out", "x.svg"], "--layers 3: there are 2"),
        (["{}", TEXT, "--heads", "a"], "'a' is no list of numbers"),
        (["{}", TEXT, "--out", "x.png"], "--out x.png: pictures are SVG"),
        (["{}", TEXT, "--of", "memory"], "--of memory: a model for masked_lm has encoder"),
        (["{}", "  "], "the text is empty"),
        (["no/such", TEXT], "model.json: missing; no/such is no checkpoint"),
        (["{}"], "the following arguments are required: TEXT"),
    ],
)
def test_invalid_arguments_give_one_line_error(folder, capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        sys.exit(command.main([argument.format(folder) for argument in arguments]))
    told = capsys.readouterr()
    assert said in told.err
    assert (told.out, len(told.err.splitlines())) == ("", 1)


def test_help_needs_no_torch():
    program = (
        "import sys\nfrom tasks.maps.__main__ import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, check=True)
