"""The worker calls a version's own code, which may be of before a renaming."""

import json

from deploy.serving.worker import _function


def test_a_function_is_found_under_its_earlier_name():
    assert _function("json.read_text", "json.loads") is json.loads
    assert _function("json.no_module.loads", "json.loads") is json.loads
    assert _function("json.no_module.loads", "json.read_text") is None
