"""The figures of both pages are those that the benchmarks kept."""

import json

from benchmarks import results


def test_tables_are_generated_from_the_results():
    for page, text in results.pages().items():
        assert text == page.read_text(), "run python -m benchmarks.results"


def test_the_readme_has_six_figures():
    assert results.table(headlines=True).count("\n") == 1 + 6


def test_every_result_names_its_command_and_its_bar():
    for file in results.FOLDER.glob("*.json"):
        result = json.loads(file.read_text())
        assert result["command"].startswith("python -m benchmarks.")
        assert result["figures"]
        for figure in result["figures"]:
            assert {"what", "value", "unit", "bar", "ok"} <= set(figure)
