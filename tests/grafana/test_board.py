"""Variables of all dashboards: runs by their titles."""

import json
import re

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.board import RUN_AND_TITLE, named_runs

PATTERN = re.compile(RUN_AND_TITLE.strip("/").replace("(?<", "(?P<"))


def test_runs_are_offered_by_title_with_the_newest_first():
    variable = json.loads(JSONEncoder().encode(named_runs().build()))
    assert variable["sort"] == 2, "alphabetically, descending: titles begin with the time"
    line = '{glassformer_run="3f2a1b",title="2026-11-30 08:02 docs 3f2a1b"} 2 1700000000000'
    assert PATTERN.search(line).groupdict() == {"value": "3f2a1b", "text": "2026-11-30 08:02 docs 3f2a1b"}


def test_run_without_a_title_is_offered_by_its_id():
    assert PATTERN.search('{glassformer_run="3f2a1b"} 5 1700000000000').groupdict() == {"value": "3f2a1b", "text": None}
