"""Requests made up from the description of the interface: whatever comes, the server does not fail, and says what was wrong."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.deploy.serving.stub import Shelf, served


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    shelf.add(1)
    shelf.named["champion"] = "1"
    with served(shelf, tmp_path_factory.mktemp("server")) as server:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")


ENDPOINTS = ("classify", "embed", "translate", "generate", "images", "attention")
ASKED = [
    ("/invocations", "POST"),
    *((f"/v1/{name}", "POST") for name in ENDPOINTS),
    *((path, "GET") for path in ("/models", "/models/{number}", "/metrics", "/ping", "/version")),
]
PLAIN = [one for one in ASKED if one[1] == "GET"]  # nothing in these can be wrong


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [(*one, mode) for one in ASKED for mode in GenerationMode if mode is GenerationMode.POSITIVE or one not in PLAIN],
)
def test_generated_requests_never_cause_a_server_error(api, path, method, mode):
    """Requests that fit the description, and requests that do not."""

    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        answer = case.call()
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error_code", "message"}

    ask()


def test_every_post_path_is_fuzzed(api):
    described = {(one.ok().path, one.ok().method.upper()) for one in api.get_all_operations()}
    assert {one for one in described if one[1] == "POST"} <= set(ASKED) <= described
