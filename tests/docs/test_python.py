"""docs/python.md and docs/notebook.ipynb: their code runs, one block after another, from an empty home."""

import json
import re

import pytest

from artifacts.home import CHECKOUT

DOCS = CHECKOUT / "docs"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home for both: the notebook finds what the page has trained in the cache."""
    return tmp_path_factory.mktemp("python")


@pytest.fixture
def run(home, monkeypatch, capfd):
    """Runs blocks of code in one namespace; what they printed."""
    monkeypatch.setenv("GLASSFORMER_HOME", str(home / "var"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(home / "mlruns"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(home)

    def run(name, blocks):
        namespace = {}
        for number, block in enumerate(blocks):
            exec(compile(block, f"{name}, block {number}", "exec"), namespace)
        return namespace, capfd.readouterr().out

    return run


@pytest.mark.slow
def test_code_blocks_of_the_page_run(run):
    text = (DOCS / "python.md").read_text()
    names, shown = run("python.md", re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert "digits: done in" in shown
    assert "finetune HIT []" in shown
    assert names["losses"][-1][1] < names["losses"][0][1]
    assert names["right"] > 4, "of 20; one in ten is chance"


@pytest.mark.slow
def test_cells_of_the_notebook_run(run):
    notebook = json.loads((DOCS / "notebook.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "outputs are of one machine: clear them"
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names, shown = run("notebook.ipynb", cells)
    assert "finetune MISS parameter finetune.seed: 1 -> 2" in shown
    assert names["accuracy"] > 0.2


def test_links_point_to_existing_files():
    for target in re.findall(r"\]\(([^)#]+)\)", (DOCS / "python.md").read_text()):
        assert (DOCS / target).exists(), target
