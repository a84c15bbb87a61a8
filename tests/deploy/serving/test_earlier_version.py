"""A model version that an earlier release registered is still served, by its own copy of that release's code.

`tests/fixtures/earlier_version.tar.xz` is a version of `tiny` as commit 81cf2c8 registered it, before tasks asked in numpy, with questions
and answers of our own in place of the corpus's.
"""

import asyncio
import json
import tarfile
from pathlib import Path

import pytest

from deploy.serving.worker_process import Process

FIXTURE = Path(__file__).parents[2] / "fixtures" / "earlier_version.tar.xz"


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "version"


def test_version_of_an_earlier_release_gives_its_recorded_answers(version, tmp_path):
    recorded = json.loads((version / "artifacts" / "recorded" / "recorded.json").read_text())

    async def ask():
        process = await Process.start(version, tmp_path / "log", threads=1)
        try:
            await process.ready(60)
            answer = await process.ask("predict", 60, inputs=recorded["questions"], options={})
            maps = await process.ask("attention", 60, input=recorded["questions"][0])
        finally:
            await process.close()
        return answer, maps

    answer, maps = asyncio.run(ask())
    assert answer["columns"]["prediction"] == recorded["answers"]["prediction"]
    assert answer["columns"]["probability"] == pytest.approx(recorded["answers"]["probability"], abs=1e-4)
    assert answer["columns"]["truncated"] == [False] * 5 + [True] + [False] * 2
    assert set(maps["maps"]) == {f"layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2)}
