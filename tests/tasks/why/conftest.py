"""A home with one finished training, and the program asked about it."""

import sys

import pytest
import torch

from artifacts.runs import FINISHED, Run
from tasks.why import __main__ as why
from tests.spiked import data, train


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The home, and the artifacts that its trainings start from. Tests that change it take a copy."""
    home = tmp_path_factory.mktemp("home")
    inputs = data(home)
    for name in ("earlier", "finished"):
        run = Run.start(home, name + "0" * 24, "tiny", "")
        if name == "finished":
            train(home, run, "finetune", inputs)
        run.end(FINISHED)
    return home, inputs


@pytest.fixture
def ask(made, monkeypatch, capsys):
    """Run the program on a home: exit code, standard output, standard error."""

    def asking(*words, home=made[0]):
        monkeypatch.setenv("GLASSFORMER_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["why", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(why.main())
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return asking
