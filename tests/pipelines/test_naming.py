"""A model of other data than the pipeline's has a name of its own, unless the user gave one."""

import pytest

from pipelines import graph
from pipelines.naming import model_name


def registers(pipeline, *settings):
    return graph.load(str(pipeline), settings)[0].nodes["register"].config.get("name")


@pytest.mark.parametrize(
    "pipeline", ["docs", "classify", "lm", "translate", "images", "tiny", "search", "tokens", "gpt"]
)
def test_own_source_gives_own_model_name(pipeline):
    before = registers(pipeline)
    assert before.startswith("glassformer-")
    assert registers(pipeline, "prepare_data.source=data/My Reviews.csv.gz") == "glassformer-my-reviews"
    assert registers(pipeline, "prepare_data.source=x.csv", "register.name=mine") == "mine"
    assert registers(pipeline, "prepare_data.source=x.csv", f"register.name={before}") == before, (
        "a name that is given is meant"
    )
    assert registers(pipeline, "register.alias=other") == before


def test_default_source_keeps_default_model_name():
    assert registers("docs", "prepare_data.source=docs") == "glassformer-docs"
    assert registers("digits", "prepare_data.seed=5") == "glassformer-digits"


def test_training_source_names_model_with_separate_splits(tmp_path):
    splits = ["prepare_data.train=trec/trec_train.csv", "prepare_data.test=trec/trec_test.csv"]
    assert registers("classify", *splits) == "glassformer-trec_train"
    assert registers("classify", *splits, "register.name=mine") == "mine"
    assert registers("classify", "prepare_data.train=", "prepare_data.source=x.csv") == "glassformer-x"
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: docs\nnodes: {prepare_data: {config: {train: a/*.csv, validation: b.csv}}}")
    assert registers(mine) == "glassformer-a"


def test_user_pipeline_file_names_model_after_its_source(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: docs\nnodes: {prepare_data: {config: {source: 'texts/*.csv', label_column: topic}}}")
    assert registers(mine) == "glassformer-texts"
    assert registers(mine, "prepare_data.source=other.csv") == "glassformer-other"
    mine.write_text(
        "extends: docs\nnodes: {prepare_data: {config: {source: a.csv}}, register: {config: {name: given}}}"
    )
    assert registers(mine) == "given"
    assert registers(mine, "prepare_data.source=other.csv") == "given"
    second = tmp_path / "second.yaml"
    second.write_text("extends: mine.yaml\nnodes: {prepare_data: {config: {source: b.csv}}}")
    assert registers(second) == "given"
    mine.write_text("extends: docs\nnodes: {pretrain: {config: {seed: 2}}}")
    assert registers(mine) == "glassformer-docs"


def test_each_fan_out_source_gets_own_model_name(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: docs\neach: {prepare_data.source: [a.csv, b.csv]}")
    assert [one.nodes["register"].config["name"] for one in graph.load(str(mine))] == ["glassformer-a", "glassformer-b"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("texts/*.csv", "glassformer-texts"),
        ("/data/v1.2/reviews.jsonl.zst", "glassformer-reviews"),
        ("hf:org/some_set", "glassformer-some_set"),
        ("hf:./local/set", "glassformer-set"),
        ("data/cats/", "glassformer-cats"),
        ("a.history.csv", "glassformer-a-history"),
        ("été 2024?.txt", None),
        ("été & co.txt", "glassformer-été-co"),
        ("docs.csv", "glassformer-own-docs"),
        ("digits", "glassformer-own-digits"),
        ("translation.tsv", "glassformer-own-translation"),
        ("../***", None),
        ("#!.csv", "glassformer-data"),
        ("x" * 300, "glassformer-" + "x" * 60),
        ("a/{b,c}/../*.txt", "glassformer-b-c"),
    ],
)
def test_derived_names_are_short_valid_and_not_reserved(source, name):
    found = model_name(source)
    assert found.startswith("glassformer-")
    assert name in (None, found)
    config = graph.config_class("register")(checkpoint="c", report="r", name=found)
    assert config.name == found


def test_shipped_model_names_cannot_be_derived():
    shipped = {registers(name) for name in graph.available()}
    assert not shipped & {model_name(f"{name.removeprefix('glassformer-')}.csv") for name in shipped}
