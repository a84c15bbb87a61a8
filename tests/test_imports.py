"""Import circles: none, but between the two files of one class."""

import tomllib

import grimp

from tests.pipeline_home import ROOT

ONE_CLASS = {"telemetry.observe", "telemetry.workers"}  # Observe, and how worker processes take it over


def circular(imports):
    """Modules that are left when those that import none of the others are taken out again and again, from both ends."""
    left = dict(imports)
    while gone := {one for one in left if not left[one] & left.keys() or not any(one in left[other] for other in left)}:
        left = {one: imported for one, imported in left.items() if one not in gone}
    return set(left)


def test_circular_modules_are_found():
    assert circular({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}


def test_modules_import_each_other_only_within_one_class():
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) > 300
    assert circular({one: graph.find_modules_directly_imported_by(one) for one in graph.modules}) == ONE_CLASS
