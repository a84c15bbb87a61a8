"""Gradients through time: closed forms, the papers' bound, the command."""

import math
import subprocess
import sys

import pytest
import torch

from models import gradients
from models.config import ModelConfig
from models.torch import initialize
from models.torch.recurrent.cells import Cells
from models.torch.recurrent.gradients import change, norms


def cells(cell):
    config = ModelConfig(network="recurrent", cell=cell, d_model=8, vocab_size=1)
    made = Cells(config, inputs=8, width=8, layers=1)
    initialize(made, config, 0)
    return made


def without_weights(made):
    with torch.no_grad():
        for name, parameter in made.kernel.named_parameters():
            if name.startswith("weight"):
                parameter.zero_()
    return made


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_linear_orthogonal_rnn_scales_gradient_by_gain_per_token(gain):
    made = cells("rnn")
    change(made, gain=gain)
    assert norms(made, 10, inputs=0.0, seed=0) == pytest.approx([gain**d for d in range(11)], rel=1e-4)


@pytest.mark.parametrize("gain", [0.9, 1.0])
def test_gradient_norms_stay_within_singular_value_bound(gain):
    made = cells("rnn")
    change(made, gain=gain)
    found = norms(made, 30, inputs=10.0, seed=0)
    assert all(norm <= gain**d * (1 + 1e-5) for d, norm in enumerate(found))
    assert found[30] < 1e-3


@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_gate_bias_sets_gradient_decay(bias):
    """A GRU's h_T is z^(T-t) h_t, an LSTM's c_T is f^(T-t) c_t, of which h_T = o c_T with o = 1/2."""
    share = 1 / (1 + math.exp(-bias))
    unit, memory = without_weights(cells("gru")), without_weights(cells("lstm"))
    change(unit, gate_bias=bias)
    change(memory, gate_bias=bias)
    assert norms(unit, 10, inputs=1.0, seed=0) == pytest.approx([share**d for d in range(11)], rel=1e-4)
    expected = [1.0, *(0.5 * share**d for d in range(1, 11))]
    assert norms(memory, 10, inputs=1.0, seed=0) == pytest.approx(expected, rel=1e-4)


def test_rnn_gradient_vanishes_and_open_gru_gate_preserves_gradient():
    found = gradients.measure(["rnn", "gru"], distance=50, width=32, inputs=1.0, seed=0)
    plain, kept = found["RNN"][1][50], found["GRU, update bias 4"][1][50]
    assert plain < 1e-3 < 0.1 < kept
    assert found["RNN, recurrent weights doubled"][1][50] > 1


def test_command_prints_table_and_draws_identical_files(tmp_path, capsys):
    made = []
    for name in ("one.svg", "two.svg"):
        assert gradients.main(["--cell", "rnn", "--distance", "12", "--width", "8", "--out", str(tmp_path / name)]) == 0
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert b"<svg" in made[0]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-5:] == ["0", "1", "2", "5", "10"]
    assert [line[:30].strip() for line in lines[1:3]] == ["RNN", "RNN, recurrent weights doubled"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--cell", "rnn,elman"], "'rnn,elman': cells are rnn,lstm,gru"),
        (["--out", "plot.txt"], "'plot.txt': a file that ends with .svg, .png, .pdf"),
        (["--distance", "0"], "'0': a number from 1 to 1000"),
        (["--inputs", "-1"], "'-1': a number above 0"),
    ],
)
def test_invalid_arguments_are_refused_with_message(given, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        gradients.main(given)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_missing_output_folder_is_reported(tmp_path, capsys):
    out = tmp_path / "missing" / "plot.svg"
    assert gradients.main(["--cell", "rnn", "--distance", "2", "--width", "8", "--out", str(out)]) == 1
    assert f"{out}: No such file or directory" in capsys.readouterr().err


def test_import_loads_neither_torch_nor_matplotlib():
    code = "import sys, models.gradients; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
