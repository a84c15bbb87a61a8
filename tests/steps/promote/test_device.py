"""The device on which the gate's versions answer."""

from models.devices import Compute
from steps.promote import model_process
from steps.promote.model_process import Answering, Contender


def test_version_gets_device_and_precision_in_its_environment(monkeypatch, tmp_path):
    started = {}

    class Child:
        stdin = stdout = None

        def __init__(self, command, **options):
            started.update(options["env"])

        def kill(self):
            pass

        def wait(self):
            return 0

    monkeypatch.setattr(model_process.subprocess, "Popen", Child)
    Answering(Contender("m", "3", "", {}, tmp_path), tmp_path, Compute("cuda", "float16")).close()
    assert (started["GLASSFORMER_DEVICE"], started["GLASSFORMER_PRECISION"]) == ("cuda", "float16")
