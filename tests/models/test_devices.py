"""Devices by their names: `auto` on each kind of machine, and one line for what a machine has not."""

import ctypes

import pytest

from models import devices
from models.devices import Compute, resolve_device, resolve_precision


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU of a compute capability, or without, and a build of PyTorch with CUDA or without."""

    def choose(capability=None, build=True):
        monkeypatch.setattr(devices, "cuda_capability", lambda: capability)
        monkeypatch.setattr(devices, "_has_cuda_build", lambda: build)

    choose()
    return choose


@pytest.mark.parametrize(
    ("capability", "build", "expected"),
    [
        (None, True, ("cpu", "float32")),
        ((9, 0), False, ("cpu", "float32")),
        ((9, 0), True, ("cuda", "bfloat16")),
        ((8, 0), True, ("cuda", "bfloat16")),
        ((7, 5), True, ("cuda", "float32")),
    ],
)
def test_auto_takes_cuda_where_there_is_one(machine, capability, build, expected):
    machine(capability, build)
    assert Compute.of() == Compute(*expected)


def test_absent_device_is_named_with_remedy(machine):
    with pytest.raises(ValueError, match=r"no CUDA device found; check `nvidia-smi` .* or set device=cpu"):
        resolve_device("cuda")
    machine((9, 0), False)
    with pytest.raises(ValueError, match=r"built without CUDA; run `make setup` without TORCH=cpu"):
        resolve_device("cuda")


def test_mps_is_for_apple_computers_alone(monkeypatch):
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert resolve_device("mps") == "mps"
    assert resolve_device("auto") == "cpu", "auto never takes it"
    assert resolve_precision("auto", "mps") == "float32"
    monkeypatch.setattr(devices.sys, "platform", "linux")
    with pytest.raises(ValueError, match="GPU of an Apple computer, and this is none; set device=cpu"):
        resolve_device("mps")


def test_precision_that_device_lacks_is_refused(machine):
    with pytest.raises(ValueError, match="float16 is for GPUs; on a CPU set precision=float32, or bfloat16"):
        resolve_precision("float16", "cpu")
    machine((7, 5))
    with pytest.raises(ValueError, match=r"needs compute capability 8\.0, this GPU has 7\.5; set precision=float16"):
        resolve_precision("bfloat16", "cuda")
    assert resolve_precision("float16", "cuda") == "float16"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"


def test_environment_hands_device_and_precision_to_another_process(machine, monkeypatch):
    machine((9, 0))
    assert Compute.from_environment() == Compute("cpu", "float32"), "the CPU without a word"
    for name, value in Compute("cuda", "bfloat16").environment().items():
        monkeypatch.setenv(name, value)
    assert Compute.from_environment() == Compute("cuda", "bfloat16")


class Driver:
    """The calls of CUDA's driver that are used."""

    def __init__(self, number, capability=(9, 0), error=0):
        self.number, self.capability, self.error = number, capability, error

    def cuInit(self, flags):  # noqa: N802 - the driver's name
        return self.error

    def cuDeviceGetCount(self, number):  # noqa: N802
        number._obj.value = self.number
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):  # noqa: N802
        value._obj.value = self.capability[attribute - 75]
        return 0


@pytest.mark.parametrize(
    ("driver", "expected"),
    [(Driver(1), (9, 0)), (Driver(2, (7, 5)), (7, 5)), (Driver(0), None), (Driver(1, error=100), None), (None, None)],
)
def test_capability_comes_from_driver_without_torch(monkeypatch, driver, expected):
    def load(name):
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    devices.cuda_capability.cache_clear()
    try:
        assert devices.cuda_capability() == expected
    finally:
        devices.cuda_capability.cache_clear()


@pytest.mark.parametrize(
    ("line", "expected"), [("cuda: Optional[str] = '13.2'", True), ("cuda: Optional[str] = None", False)]
)
def test_build_with_cuda_is_known_from_its_version_file(tmp_path, monkeypatch, line, expected):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.15.0'\ndebug = False\n{line}\nhip = '1'\n")
    monkeypatch.setattr(
        devices.importlib.util,
        "find_spec",
        lambda name: type("Spec", (), {"origin": str(tmp_path / "torch" / "__init__.py")}),
    )
    devices._has_cuda_build.cache_clear()
    try:
        assert devices._has_cuda_build() is expected
    finally:
        devices._has_cuda_build.cache_clear()
