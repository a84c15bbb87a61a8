"""The benchmark for a GPU: one line where there is none; its parts, at a small size, on the CPU."""

import sys

import pytest

from benchmarks import device
from models import devices
from models.devices import Compute


def test_machine_without_gpu_gets_one_line(monkeypatch, capsys):
    monkeypatch.setattr(devices, "cuda_capability", lambda: None)
    monkeypatch.setattr(sys, "argv", ["device"])
    assert device.main() == 1
    assert capsys.readouterr().err == (
        "benchmarks.device: no CUDA device found; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or set device=cpu (or auto); "
        "nothing was measured\n"
    )


def test_losses_of_cpu_are_those_of_cpu():
    exact, near = device.correctness(Compute("cpu", "bfloat16"), quick=True)
    assert (exact["value"], exact["ok"]) == ("0.0e+00", True)
    assert near["ok"]
    assert float(near["value"]) > 0


def test_killed_training_of_benchmark_has_one_digest():
    (figure,) = device.repetition(Compute(), quick=True)
    assert (figure["value"], figure["ok"]) == (1, True)


def test_training_speed_of_unknown_device_is_in_flops():
    tokens, flops = device.speed(Compute(), quick=True)
    assert tokens["value"] > 0
    assert "peak is not known" in flops["what"]
    assert flops["unit"] == "TFLOP/s"


@pytest.mark.parametrize(("name", "peak"), [("NVIDIA H100 PCIe", 756e12), ("NVIDIA H100 80GB HBM3", 989e12)])
def test_peak_is_that_of_first_fitting_name(name, peak):
    assert next(value for part, value in device.PEAKS.items() if part in name) == peak
