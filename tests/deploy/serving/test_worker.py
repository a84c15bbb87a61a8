"""The worker calls a version's own code, which may be of before a renaming."""

import json
from types import SimpleNamespace

from deploy.serving.worker import Worker, _function


def test_a_function_is_found_under_its_earlier_name():
    assert _function("json.read_text", "json.loads") is json.loads
    assert _function("json.no_module.loads", "json.loads") is json.loads
    assert _function("json.no_module.loads", "json.read_text") is None


def test_length_needs_only_the_read_and_given_counts():
    worker = Worker.__new__(Worker)
    lengths = [SimpleNamespace(read=4, given=5)]
    worker.model, worker.task = None, SimpleNamespace(input="text", lengths=lambda *_: lengths)
    assert worker._length("a text", {}) == {"truncated": True, "tokens_read": 4, "tokens_given": 5}
