"""Two runs of `tiny` that differ in seed and learning rate; the newer one's loss spiked at update 57, and it has no score."""

from types import SimpleNamespace

import pytest

from artifacts.store import Store
from tests.mlflow_home import own_store
from tests.recorded_runs import START, losses_of, record_run

OLD, NEW = "0abc" + "0" * 28, "1abd" + "0" * 28


@pytest.fixture(scope="module")  # its environment and folder are put back before other tests
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        client = own_store(folder, patch)
        patch.setenv("GLASSFORMER_HOME", str(folder / "var"))
        store = Store.default()
        old = record_run(
            client, store, OLD, at=START, losses=losses_of(100), parameters={"seed": 1, "corpus": "/a"}, score=0.5
        )
        new = record_run(
            client, store, NEW, at=START + 3600, losses=losses_of(200, spike=57), parameters={"seed": 2, "corpus": "/b"}
        )  # fmt: skip
        yield SimpleNamespace(folder=folder, client=client, store=store, mlflow={OLD: old, NEW: new})
