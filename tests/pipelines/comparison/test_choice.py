"""The choice of runs: beginnings of ids."""

import pytest

from artifacts.errors import UserError
from pipelines.comparison.choice import choose
from tests.mlflow_home import own_store


def test_ambiguous_beginning_names_the_candidates(tmp_path, monkeypatch):
    client = own_store(tmp_path, monkeypatch)
    for number, run_id in enumerate(("feed" + "0" * 28, "feed" + "1" * 28)):
        tags = {"glassformer.pipeline": "tiny", "glassformer.run": run_id}
        client.create_run("0", start_time=1_700_000_000_000 + number, tags=tags)
    with pytest.raises(
        UserError, match=r"feed: 2 runs have an id that begins so: tiny .* feed1111 .*, tiny .* feed0000"
    ):
        choose(client, ["feed", "latest"])
    assert [run.data.tags["glassformer.run"] for run in choose(client, ["feed1", "feed0"])] == [
        "feed" + "1" * 28,
        "feed" + "0" * 28,
    ]


def test_choice_without_words_needs_two_runs(tmp_path, monkeypatch):
    client = own_store(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="fewer than two runs are known here"):
        choose(client, [])
