"""The README's figures are those that the benchmarks kept."""

import json

from benchmarks import results


def test_the_readmes_table_is_generated_from_the_results():
    assert results.readme() == results.README.read_text(), "run python -m benchmarks.results"


def test_every_result_names_its_command_and_its_bar():
    for file in results.FOLDER.glob("*.json"):
        result = json.loads(file.read_text())
        assert result["command"].startswith("python -m benchmarks.")
        assert result["figures"]
        for figure in result["figures"]:
            assert {"what", "value", "unit", "bar", "ok"} <= set(figure)
