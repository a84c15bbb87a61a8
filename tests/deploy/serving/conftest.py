import pytest

from tests.deploy.serving.stub import Shelf, served


@pytest.fixture
def shelf(tmp_path):
    """A registry with one version, which is the champion."""
    made = Shelf(tmp_path / "shelf")
    made.add(1)
    made.named["champion"] = "1"
    return made


@pytest.fixture
def server(shelf, tmp_path):
    with served(shelf, tmp_path) as running:
        yield running
