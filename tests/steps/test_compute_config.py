"""Device, precision and compilation of a step: resolved as its config is read, and in its fingerprint where they change results."""

import pytest

from artifacts.errors import UserError
from models import devices
from models.devices import Compute
from pipelines import graph
from pipelines.fingerprint import Environment, parts_of
from steps import command_line
from steps.step import load_step

STEPS = ("pretrain", "finetune", "evaluate")
INPUTS = {
    "pretrain": ["--corpus=c", "--tokenizer=t"],
    "finetune": ["--corpus=c", "--tokenizer=t", "--from_scratch=true"],
    "evaluate": ["--corpus=c", "--tokenizer=t", "--checkpoint=k"],
    "promote": ["--model=m"],
}


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a new GPU."""
    monkeypatch.setattr(devices, "cuda_capability", lambda: (9, 0))
    monkeypatch.setattr(devices, "_has_cuda_build", lambda: True)


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "cuda_capability", lambda: None)


def read(step, *words):
    return command_line.parse(step, "", load_step(step).Config, [*INPUTS[step], *words])


@pytest.mark.parametrize("step", [*STEPS, "promote"])
def test_auto_is_resolved_as_config_is_read(step, gpu):
    assert read(step).compute == Compute("cuda", "bfloat16")
    assert read(step, "--device=cpu").compute == Compute()
    assert read(step, "--precision=float32").compute == Compute("cuda", "float32")


@pytest.mark.parametrize("step", STEPS)
def test_neutral_values_are_left_out_of_fingerprint(step):
    plain = read(step)
    assert plain.compute == Compute()
    assert (plain.device, plain.precision, plain.compile) == ("cpu", "float32", "false")
    assert not {"device", "precision", "compile"} & plain.result_parameters().keys()
    assert (
        plain.result_parameters()
        == read(step, "--device=cpu", "--precision=float32", "--compile=false").result_parameters()
    )
    changed = read(step, "--precision=bfloat16", "--compile=true").result_parameters()
    assert changed == {**plain.result_parameters(), "precision": "bfloat16", "compile": "true"}


@pytest.mark.parametrize("step", ["pretrain", "finetune"])
def test_packing_is_in_fingerprint_only_if_it_is_on(step):
    plain, packed = read(step).result_parameters(), read(step, "--packing=true").result_parameters()
    assert packed == {**plain, "packing": True} != plain


def test_fingerprint_of_node_names_device_only_where_it_is_no_cpu(gpu):
    environment = Environment()

    def parameters(*settings):
        node = graph.load("docs", settings)[0].nodes["pretrain"]
        return parts_of(node, dict.fromkeys(node.inputs), environment)["parameters"]

    on_gpu, on_cpu = parameters(), parameters("pretrain.device=cpu")
    assert on_gpu == {**on_cpu, "device": "cuda", "precision": "bfloat16"}
    assert "device" not in on_cpu
    assert {"max_updates", "seed", "optimizer"} <= on_cpu.keys()


def test_device_of_file_reaches_step_as_given(gpu, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: docs\nnodes: {pretrain: {config: {device: cpu, compile: true}}}\n")
    node = graph.load(str(path))[0].nodes["pretrain"]
    config = node.config_with(dict.fromkeys(node.inputs, "-")).model_dump(mode="json")
    assert (config["device"], config["precision"], config["compile"]) == ("cpu", "float32", "true")


@pytest.mark.parametrize("step", [*STEPS, "promote"])
def test_absent_device_is_one_line(step):
    with pytest.raises(UserError) as raised:
        read(step, "--device=cuda")
    assert raised.value.exit_code == 2
    assert str(raised.value) == (
        "parameter device='cuda': no CUDA device found; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or set device=cpu (or auto)"
    )


@pytest.mark.parametrize("step", [*STEPS, "promote"])
def test_precision_that_device_lacks_is_one_line(step):
    with pytest.raises(
        UserError, match=r"^parameter precision='float16': float16 is for GPUs; on a CPU set .* bfloat16$"
    ):
        read(step, "--precision=float16")


def test_unknown_device_names_known_ones():
    with pytest.raises(UserError, match=r"parameter device='gpu': Input should be 'auto', 'cpu', 'cuda' or 'mps'"):
        read("pretrain", "--device=gpu")
