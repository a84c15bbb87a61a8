"""Figures of a GPU: read from NVML where there is one, nothing elsewhere."""

import ctypes

import pytest

from telemetry import gpu_usage
from telemetry.gpu_usage import Gpu
from telemetry.names import is_known
from telemetry.resource_usage import Readings

UUID = "GPU-5f1d"


class Nvml:
    """NVML of a machine with two GPUs; `lacks` names the calls that fail there."""

    def __init__(self, lacks: tuple[str, ...] = ()) -> None:
        self.lacks = lacks

    def _answer(self, name: str) -> int:
        return 3 if name in self.lacks else 0  # NVML_ERROR_NOT_SUPPORTED

    def nvmlInit_v2(self) -> int:  # noqa: N802 - the library's names
        return self._answer("init")

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle) -> int:  # noqa: N802
        if index.value > 1:
            return 2
        handle._obj.value = 100 + index.value
        return 0

    def nvmlDeviceGetHandleByUUID(self, name, handle) -> int:  # noqa: N802
        if name.decode() != UUID:
            return 6
        handle._obj.value = 101
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle, memory) -> int:  # noqa: N802
        memory._obj.used, memory._obj.total = handle.value * 10**6, 80 * 10**9
        return self._answer("memory")

    def nvmlDeviceGetUtilizationRates(self, handle, used) -> int:  # noqa: N802
        used._obj.gpu = 87
        return self._answer("utilization")

    def nvmlDeviceGetPowerUsage(self, handle, milliwatts) -> int:  # noqa: N802
        milliwatts._obj.value = 312_500
        return self._answer("power")


@pytest.fixture
def nvml(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    library = Nvml()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return library


def test_figures_are_those_of_nvml_in_registered_units(nvml) -> None:
    gpu = Gpu.find()
    assert gpu
    found = gpu.read()
    assert found == {"gpu.used_bytes": 1e8, "gpu.total_bytes": 8e10, "gpu.utilization": 0.87, "gpu.power": 312.5}
    assert all(is_known(name, "gauge") for name in found)


@pytest.mark.parametrize(("visible", "used"), [("1,0", 1.01e8), (UUID, 1.01e8), ("0", 1e8)])
def test_gpu_is_the_first_visible_one(nvml, monkeypatch, visible, used) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu = Gpu.find()
    assert gpu
    assert gpu.read()["gpu.used_bytes"] == used


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-other"])
def test_hidden_gpu_is_none(nvml, monkeypatch, visible) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert Gpu.find() is None


def test_figures_that_gpu_lacks_are_left_out(nvml) -> None:
    nvml.lacks = ("power", "utilization")
    gpu = Gpu.find()
    assert gpu
    assert gpu.read().keys() == {"gpu.used_bytes", "gpu.total_bytes"}


def test_machine_without_nvml_has_no_gpu_metrics(monkeypatch, tmp_path) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(gpu_usage.ctypes, "CDLL", missing)
    assert Gpu.find() is None
    assert not any(name.startswith("gpu.") for name in Readings(tmp_path).all())


def test_readings_of_process_hold_those_of_its_gpu(nvml, tmp_path) -> None:
    assert Readings(tmp_path).all()["gpu.power"] == 312.5
