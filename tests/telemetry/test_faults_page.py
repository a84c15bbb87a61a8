"""docs/faults.md names a test for each fault, and each test that it names is there."""

import re

from tests.pipeline_home import ROOT

FOLDERS = {
    "t": "tests/telemetry",
    "p": "tests/pipelines",
    "s": "tests/stack",
    "g": "tests/steps/promote",
    "d": "tests/deploy/serving",
    "r": "tests/steps/prepare_data",
    "st": "tests/steps",
    "tr": "tests/training",
    "a": "tests/artifacts",
    "b": "tests/deploy/backup",
    "tests": "tests",
}
PAGE = (ROOT / "docs" / "faults.md").read_text()


def test_every_test_named_on_the_faults_page_exists() -> None:
    content, seen = "", 0
    for file, test in re.findall(r"`([a-z]+/[\w/]+\.py)?(?:::(\w+))?`", PAGE):
        if file:
            folder, _, rest = file.partition("/")
            content = (ROOT / FOLDERS[folder] / rest).read_text() if folder in FOLDERS else ""
        if test:
            seen += 1
            assert f"def {test}(" in content, test
    assert seen > 20


def test_each_row_has_a_behaviour_and_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    assert all(len(row.split(" | ")) == 3 and "`" in row.split(" | ")[2] for row in rows)
    assert [int(number) for number in re.findall(r"^\| \*\*(\d)\.", PAGE, re.MULTILINE)] == list(range(1, 10))
