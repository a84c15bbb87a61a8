"""The device of the server's workers: refused where it is absent, handed to them, and allowed for when answers are compared."""

import asyncio
from types import SimpleNamespace

import pytest

from deploy.serving import VersionError, __main__, worker_process
from deploy.serving.version import _check
from deploy.serving.worker_process import Process
from models import devices
from models.devices import CPU, Compute

RECORDED = {"questions": ["a"] * 16, "options": {}, "answers": {"prediction": ["x"] * 16, "probability": [0.9] * 16}}


class Answering:
    """A worker whose answers are given."""

    def __init__(self, **columns):
        self.columns = columns

    async def ask(self, do, within, **order):
        return {"columns": self.columns}


def check(compute, probability=0.9, others=0):
    columns = {"prediction": ["y"] * others + ["x"] * (16 - others), "probability": [probability] * 16}
    about = SimpleNamespace(endpoint="classify")
    return asyncio.run(_check(Answering(**columns), about, RECORDED, compute, 1.0))


def test_absent_device_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr(devices, "cuda_capability", lambda: None)
    assert __main__.main(["--device", "cuda", "--port", "0"]) == 2
    assert capsys.readouterr().err == (
        "deploy.serving: --device cuda --precision auto: no CUDA device found; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, "
        "or set device=cpu (or auto)\n"
    )


def test_worker_gets_device_and_precision_in_its_environment(monkeypatch, tmp_path):
    started = {}

    async def create(*command, env, **options):
        started.update(env)
        raise OSError("enough")

    monkeypatch.setattr(worker_process.asyncio, "create_subprocess_exec", create)
    with pytest.raises(OSError, match="enough"):
        asyncio.run(Process.start(tmp_path, tmp_path / "log", 1, Compute("cuda", "bfloat16")))
    assert (started["GLASSFORMER_DEVICE"], started["GLASSFORMER_PRECISION"]) == ("cuda", "bfloat16")


@pytest.mark.parametrize(
    ("compute", "most"), [(CPU, 0.0005), (Compute("cuda"), 0.008), (Compute("cuda", "bfloat16"), 0.04)]
)
def test_recorded_numbers_may_differ_by_precision(compute, most):
    assert check(compute, 0.9 + most) == "gives 16 of the 16 answers that were recorded when it was registered"
    with pytest.raises(VersionError, match="answers recorded question 1 with probability"):
        check(compute, 0.9 + 3 * most)


def test_few_answers_may_turn_on_another_device_and_none_on_cpu():
    assert check(Compute("cuda", "bfloat16"), others=2).startswith("gives 14 of the 16 answers")
    with pytest.raises(VersionError, match="question 1 with prediction 'y'"):
        check(Compute("cuda", "bfloat16"), others=3)
    with pytest.raises(VersionError, match="question 1 with prediction 'y'"):
        check(CPU, others=1)
