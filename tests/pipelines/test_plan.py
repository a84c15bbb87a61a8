"""HIT or MISS, and the exact reason for a miss."""

import os
import shutil

import pytest

from artifacts import Output
from artifacts.errors import UserError
from artifacts.runs import Run
from artifacts.store import Store
from pipelines import code, graph
from pipelines.fingerprint import Environment, fingerprint, parts_of
from pipelines.plan import Planner, plan
from steps.step import load_step


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def finish(store, pipeline, **changes):
    """As if every node had run: an artifact and a record each."""
    planner = Planner(pipeline, store)
    for node in pipeline.nodes.values():
        planned = planner.plan(node)
        if planned.state == "HIT":
            continue
        output = Output(graph.output_kind(node.step), store.work("w"), root=store.root)
        output.file("content").write_text(f"{node.id} {planned.fingerprint}")
        made = output.commit()
        store.keep({
            "fingerprint": planned.fingerprint, "step": node.step, "node": node.id, "pipeline": pipeline.name,
            "parts": planned.parts, "seconds": 2.0, "finished_at": "2026-01-01",
            "artifact": {"path": store.path_of(made), "digest": made.digest, "kind": made.kind},
        } | changes)  # fmt: skip
        planner.record_result(node.id, made.digest)


def states(entries):
    return {entry.node.id: entry.state for entry in entries}


def reasons(entries):
    return {entry.node.id: entry.reasons for entry in entries if entry.reasons}


def test_nodes_miss_before_first_run_and_hit_afterwards(store):
    docs = graph.load("docs")[0]
    assert reasons(plan(docs, store))["pretrain"] == ("never run before in docs",)
    finish(store, docs)
    entries = plan(docs, store)
    assert set(states(entries).values()) == {"HIT"}
    assert [entry.as_json()["seconds_last"] for entry in entries] == [2.0] * 8
    assert list(entries[0].as_json()) == ["node", "step", "state", "reasons", "fingerprint", "artifact", "seconds_last"]


def test_changed_parameter_misses_later_nodes_and_is_named(store):
    finish(store, graph.load("docs")[0])
    found = reasons(plan(graph.load("docs", ["finetune.learning_rate=0.0001"])[0], store))
    assert set(found) == {"finetune", "evaluate", "register"}
    assert found["finetune"] == ("parameter finetune.learning_rate: 0.004 -> 0.0001",)
    assert all("finetune.learning_rate: 0.004 -> 0.0001" in " ".join(told) for told in found.values())


def test_equal_value_in_other_notation_is_a_hit(store):
    finish(store, graph.load("docs")[0])
    entries = plan(graph.load("docs", ["finetune.learning_rate=4e-3", "finetune.seed=1"])[0], store)
    assert set(states(entries).values()) == {"HIT"}


@pytest.mark.parametrize(
    ("part", "change", "told"),
    [
        ("packages", {"numpy": "0.1"}, "package numpy: 0.1 -> "),
        ("python", "CPython 3.10.1", "python: CPython 3.10.1 -> "),
        ("code", {"training/loop.py": "0"}, "code training/loop.py: changed"),
        ("inputs", {"corpus": "f" * 64}, "input corpus: ffffffffffff -> "),
    ],
)
def test_miss_reason_names_changed_part(store, part, change, told):
    docs = graph.load("docs")[0]
    finish(store, docs)
    record = store.records("pretrain")[-1]
    parts = record["parts"] | {part: record["parts"][part] | change if isinstance(change, dict) else change}
    (store.root / "records" / "pretrain" / f"{record['fingerprint']}.json").unlink()
    store.keep(record | {"parts": parts, "fingerprint": "0" * 64})
    (reason,) = reasons(plan(docs, store))["pretrain"]
    assert reason.startswith(told)


def test_force_and_lost_artifact_are_miss_reasons(store):
    docs = graph.load("docs")[0]
    finish(store, docs)
    assert reasons(plan(docs, store, ["evaluate"]))["evaluate"] == ("forced",)
    record = store.records("train_tokenizer")[-1]
    (store.root / record["artifact"]["path"] / "manifest.json").unlink()
    assert "its artifact is lost" in reasons(plan(docs, store))["train_tokenizer"][0]


def test_rerun_with_same_content_makes_next_node_a_hit(store):
    docs = graph.load("docs")[0]
    finish(store, docs)
    planner = Planner(docs, store, ["prepare_data"])
    first, second = list(docs.nodes.values())[:2]
    assert planner.plan(first).state == "MISS"
    assert planner.plan(second).state == "MISS"
    planner.record_result("prepare_data", store.records("prepare_data")[-1]["artifact"]["digest"])
    assert planner.plan(second).state == "HIT"


def test_user_file_is_fingerprinted_by_content(store, tmp_path):
    source = tmp_path / "texts.txt"
    source.write_text("one")
    pipeline = graph.load("docs", [f"prepare_data.source={source}"])[0]
    node = pipeline.nodes["prepare_data"]

    def key():
        return fingerprint("prepare_data", parts_of(node, {}, Environment(root=store.root)))

    first = key()
    source.touch()
    assert key() == first
    source.write_text("two")
    assert key() != first


def test_node_code_includes_configured_task_only():
    nodes, pretrain = graph.load("docs")[0].nodes, load_step("pretrain")
    config = nodes["pretrain"].config_with({"corpus": "-", "tokenizer": "-"})
    assert pretrain.modules(config) == [
        "steps.pretrain.run", "training.torch.backend", "models.torch.transformer", "tasks.masked_lm.task",
    ]  # fmt: skip
    files = code.closure(pretrain.modules(config), config)
    assert {"training/loop.py", "models/torch/attention.py", "tasks/masked_lm/task.py", "artifacts/corpus.py"} <= set(
        files
    )
    assert not {file for file in files if file.startswith(("telemetry/", "pipelines/", "steps/pages/"))}
    assert "tasks/classification/task.py" not in files
    assert not {"steps/wrapper.py", "steps/tracking.py"} & set(files), "the wrapper has no part in a result"


def test_each_list_input_counts_and_is_named_in_reason(store, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: docs\nnodes:\n  other: {step: finetune, inputs: {corpus: prepare_data, checkpoint: pretrain}}\n"
        "  evaluate: {inputs: {rivals: [other]}}\n"
    )
    finish(store, graph.load(str(path))[0])
    assert set(states(plan(graph.load(str(path))[0], store)).values()) == {"HIT"}
    found = reasons(plan(graph.load(str(path), ["other.seed=5"])[0], store))
    assert set(found) == {"other", "evaluate", "register"}
    assert found["evaluate"][0] == "input rivals.0: other runs again (parameter other.seed: 1 -> 5)"
    path.write_text(path.read_text().replace("rivals: [other]", "rivals: []"))
    without = reasons(plan(graph.load(str(path))[0], store))
    assert any(told.startswith("input rivals.0: ") and told.endswith("-> (none)") for told in without["evaluate"])


def test_swapped_labels_miss_despite_same_size_and_time(store, tmp_path):
    source = tmp_path / "d.csv"
    source.write_text("text,label\none,a\ntwo,b\n")
    os.utime(source, (315532800, 315532800))
    pipeline = graph.load("classify", [f"prepare_data.source={source}"])[0]
    finish(store, pipeline)
    assert set(states(plan(pipeline, store)).values()) == {"HIT"}
    source.write_text("text,label\none,b\ntwo,a\n")
    os.utime(source, (315532800, 315532800))
    assert reasons(plan(pipeline, store))["prepare_data"] == (f"file {source}: changed",)


def record_of(store, node):
    return next(each for each in store.records(node) if each["node"] == node)


DAMAGES = {
    "a byte": lambda path: (path / "content").write_text("x" * (path / "content").stat().st_size),
    "no file": lambda path: (path / "content").unlink(),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "no folder": shutil.rmtree,
    "a link": lambda path: (path.rename(path.with_name("moved")), path.symlink_to(path.with_name("moved"))),
    "a link to nothing": lambda path: (shutil.rmtree(path), path.symlink_to(path.with_name("nowhere"))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_lost_artifact_misses_and_later_nodes_stay_hits(store, damage):
    docs = graph.load("docs")[0]
    finish(store, docs)
    folder = store.root / record_of(store, "train_tokenizer")["artifact"]["path"]
    DAMAGES[damage](folder)
    entries = plan(docs, store)
    assert states(entries) == {node: "MISS" if node == "train_tokenizer" else "HIT" for node in docs.nodes}
    (reason,) = reasons(entries)["train_tokenizer"]
    assert reason.startswith("its artifact is lost: ")
    assert str(folder) in reason
    assert entries[1].seconds_last == 2.0


def test_a_plan_compares_with_the_last_run_of_its_own_pipeline(store):
    docs, tiny = graph.load("docs")[0], graph.load("tiny")[0]
    finish(store, docs)
    found = plan(tiny, store)
    assert {entry.reasons[0] for entry in found if not entry.reasons[0].startswith("input")} == {
        "never run before in tiny"
    }
    assert {entry.seconds_last for entry in found} == {None}, "the minutes of docs say nothing about tiny"
    finish(store, tiny, seconds=1.0)
    (reason,) = reasons(plan(graph.load("tiny", ["pretrain.seed=2"])[0], store))["pretrain"]
    assert reason == "parameter pretrain.seed: 1 -> 2"
    assert {entry.seconds_last for entry in plan(tiny, store)} == {1.0}


def test_cached_node_of_other_pipeline_counts_as_last_run(store):
    docs, tokens = graph.load("docs")[0], graph.load("tokens")[0]
    finish(store, docs)
    run = Run.start(store.root, "r1", "tokens", "")
    run.nodes = {"pretrain": {"state": "cached", "fingerprint": record_of(store, "pretrain")["fingerprint"]}}
    run.end("FINISHED")
    changed = graph.load("tokens", ["pretrain.seed=2"])[0]
    assert reasons(plan(changed, store))["pretrain"] == ("parameter pretrain.seed: 1 -> 2",)
    assert reasons(plan(tokens, store))["finetune"][0].startswith("never run before in tokens")


def test_all_user_file_errors_are_reported_at_once(store, tmp_path):
    (tmp_path / "a.csv").write_text("text,topic\nx,y\n")
    path = tmp_path / "mine.yaml"
    path.write_text(f"""\
nodes:
  one: {{step: prepare_data, config: {{source: {tmp_path}/a.csv, label_column: label, text_column: words}}}}
  two: {{step: prepare_data, config: {{source: {tmp_path}/none.csv}}}}
  three: {{step: prepare_data, config: {{source: {tmp_path}/none.csv, seed: 2}}}}
""")
    with pytest.raises(UserError) as raised:
        plan(graph.load(str(path))[0], store)
    lines = str(raised.value).splitlines()
    assert len(lines) == 2
    assert all(name in lines[0] for name in ("mine: node 'one': ", "'words'", "'label'"))
    assert lines[1].startswith("mine: nodes 'two', 'three': ")
    assert "no such file" in lines[1]
