"""Choice of the answering version as the alias moves: a broken new version never displaces the old one."""

import json
import threading

import pytest

from artifacts import model_files
from tests.deploy.serving.stub import Running, asked_all_the_time, served
from tests.waiting import until


def test_champion_answers_and_reports_its_version(server):
    answer = server.post("/v1/classify", {"inputs": ["one", "other"]})
    assert answer.json() == {
        "model": "stub",
        "version": "1",
        "answers": [{"prediction": "v1", "probability": 0.503}, {"prediction": "v1", "probability": 0.505}],
    }
    assert (answer.headers["x-model"], answer.headers["x-model-version"]) == ("stub", "1")
    (one,) = server.models()["versions"]
    assert (one["role"], one["version"], one["gate"], one["trace_id"]) == ("champion", "1", "promote", "ab" * 16)
    assert one["self_check"] == "gives 3 of the 3 answers that were recorded when it was registered"
    assert server.address.endswith("stub version 1")


def test_new_champion_takes_over_without_errors_and_rollback_is_immediate(shelf, server):
    shelf.add(2)
    with asked_all_the_time(server.asks, 4) as answers:
        shelf.named["champion"] = "2"
        until(lambda: server.models()["versions"][0]["version"] == "2")
        until(lambda: (200, "2") in answers)
        roles = {one["role"]: one["version"] for one in server.models()["versions"]}
        assert roles == {"champion": "2", "previous": "1"}
        shelf.named["champion"] = "1"
        until(lambda: server.models()["versions"][0]["version"] == "1")
    assert {code for code, _ in answers} == {200}
    assert {number for _, number in answers} == {"1", "2"}
    assert server.told("serving.switched")[-1].endswith("it was still loaded")
    assert server.metric("glassformer_serving_switch_seconds") < 1


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("missing", "lacks artifacts/checkpoint among its files"),
        ("changed", "checkpoint changed since it was registered"),
        ("code", "code changed since it was registered"),
        ("tokenizer", "checkpoint changed since it was registered"),
        ("raises", "cannot answer the questions recorded at registration: RuntimeError: always a bug"),
        ("answers", "answers recorded question 1 with prediction 'v2', where 'other' was recorded"),
        ("probability", "answers recorded question 1 with probability 0.501, where 0.9 was recorded"),
        ("import", "cannot be loaded: SyntaxError"),
        ("gone", "is not in the registry any more"),
    ],
)
def test_broken_version_is_refused_and_the_old_one_keeps_serving(shelf, server, how, told):
    known = shelf.add(2, broken=how)
    folder = known.folder
    if how == "missing":
        (folder / "artifacts/checkpoint/model.json").unlink()
        (folder / "artifacts/checkpoint").rmdir()
    elif how == "changed":
        (folder / "artifacts/checkpoint/model.json").write_bytes(
            b" " + (folder / "artifacts/checkpoint/model.json").read_bytes()
        )
    elif how == "tokenizer":
        (folder / "artifacts/checkpoint/tokenizer").mkdir()
        (folder / "artifacts/checkpoint/tokenizer/tokenizer.model").write_bytes(b"another")
    elif how == "code":
        (folder / "code/tasks/model.py").write_text("# another\n")
    elif how in ("answers", "probability"):
        file = folder / model_files.ANSWERS
        kept = json.loads(file.read_text())
        kept["answers"]["prediction" if how == "answers" else "probability"][0] = "other" if how == "answers" else 0.9
        file.write_text(json.dumps(kept))
        known.tags["glassformer.recorded"] = model_files.recorded_digest(folder)
    elif how == "import":
        (folder / "code/tasks/model.py").write_text("this is no Python\n")
        known.tags["glassformer.code"] = model_files.code_digest(folder)
    elif how == "gone":
        del shelf.made["2"]
    shelf.named["champion"] = "2"
    (refused,) = until(lambda: server.models()["refused"])
    assert refused["version"] == "2"
    assert told in refused["why"]
    assert server.asks() == (200, "1")
    assert server.observe.of("serving.refused") == [("error", f"stub: version 2 {refused['why']}; version 1 goes on")]
    assert server.metric('glassformer_serving_version_refused{version="2"}') == 1
    assert server.metric("glassformer_serving_alias_behind_seconds") > 0
    assert server.get("/readyz").status == 200
    # A good one after it is taken as ever.
    shelf.add(3)
    shelf.named["champion"] = "3"
    until(lambda: server.asks() == (200, "3"))
    assert server.metric("glassformer_serving_alias_behind_seconds") == 0


def test_registry_outage_keeps_loaded_versions_and_is_reported_once(shelf, server):
    shelf.away = True
    until(lambda: server.told("serving.registry"))
    asked = shelf.asked
    until(lambda: shelf.asked > asked + 3)
    assert server.asks() == (200, "1")
    assert server.told("serving.registry") == [
        "stub: the registry does not answer: connection refused; loaded versions stay"
    ]
    assert server.metric("glassformer_serving_registry_up") == 0
    shelf.away = False
    until(lambda: server.metric("glassformer_serving_registry_up") == 1)
    assert server.told("serving.registry")[-1] == "stub: the registry answers again"


def test_startup_without_registry_serves_the_last_version_from_disk(shelf, tmp_path):
    shelf.kept, shelf.away = "1", True
    with served(shelf, tmp_path) as server:
        assert server.asks() == (200, "1")
        assert server.models()["from_disk"] is True
        assert server.metric("glassformer_serving_from_disk") == 1
        assert server.told("serving.from_disk")[0].endswith("version 1, which answered last, is served from disk")
        shelf.add(2)
        shelf.named["champion"], shelf.away = "2", False
        until(lambda: server.asks() == (200, "2"))
        assert server.models()["from_disk"] is False


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"away": True},
            "the registry does not answer: connection refused; nothing that was served before is on this disk",
        ),
        (
            {"named": {}},
            "stub has no alias champion; promote a version (`python -m steps.promote --model stub`), or give --alias",
        ),
        ({"named": {"champion": "7"}}, "version 7 is not in the registry any more"),
    ],
)
def test_server_with_nothing_to_serve_ends_with_the_reason(shelf, tmp_path, change, told):
    for name, value in change.items():
        setattr(shelf, name, value)
    with served(shelf, tmp_path) as server:
        assert server.error == f"nothing to serve: {told}"


def test_waiting_server_reports_each_missing_prerequisite_once(shelf, tmp_path):
    champion, shelf.named, shelf.away = shelf.named, {}, True

    def come_one_after_the_other():
        until(lambda: shelf.asked > 4)
        shelf.away, asked = False, shelf.asked
        until(lambda: shelf.asked > asked + 4)
        shelf.named = champion

    coming = threading.Thread(target=come_one_after_the_other)
    coming.start()
    with served(shelf, tmp_path, wait=True) as server:
        coming.join()
        assert server.asks() == (200, "1")
        assert server.told("serving.waiting") == [
            "stub: nothing to serve: the registry does not answer: connection refused; "
            "nothing that was served before is on this disk; this waits",
            "stub: nothing to serve: stub has no alias champion; promote a version "
            "(`python -m steps.promote --model stub`), or give --alias; this waits",
        ]
        assert server.told("serving.registry") == [
            "stub: the registry does not answer: connection refused; loaded versions stay",
            "stub: the registry answers again",
        ]


def test_briefly_missing_alias_changes_nothing(shelf, server):
    shelf.named.clear()
    asked = shelf.asked
    until(lambda: shelf.asked > asked + 3)
    assert server.asks() == (200, "1")


def test_from_disk_flag_stays_until_the_registry_has_the_alias(shelf, tmp_path):
    shelf.away, shelf.kept = True, "1"
    named = dict(shelf.named)
    with served(shelf, tmp_path) as server:
        assert server.models()["from_disk"] is True
        shelf.named.clear()
        shelf.away = False
        until(lambda: server.models()["registry"] == "up")
        assert server.models()["from_disk"] is True, "no alias is there that could say otherwise"
        shelf.named.update(named)
        until(lambda: server.models()["from_disk"] is False)


def test_canary_answers_its_share_and_each_client_keeps_its_version(shelf, tmp_path):
    shelf.add(2)
    shelf.named["challenger"] = "2"
    with served(shelf, tmp_path, canary_percent=30.0) as server:
        until(lambda: len(server.models()["versions"]) == 2)
        answers = {key: server.asks(x_canary_key=f"user {key}")[1] for key in range(200)}
        assert 0.2 < sum(number == "2" for number in answers.values()) / 200 < 0.4
        assert all(server.asks(x_canary_key=f"user {key}")[1] == answers[key] for key in range(0, 200, 10))
        assert server.metric('glassformer_serving_requests_total{code="200",endpoint="v1/classify",version="2"}') > 0
        # It is promoted: it becomes the champion, as it is.
        shelf.named["champion"] = "2"
        until(lambda: server.models()["versions"][0]["version"] == "2")
        assert server.told("serving.switched")[-1].endswith("it was the canary")
        assert server.metric("glassformer_serving_switch_seconds") < 1
        assert {server.asks(x_canary_key=f"user {key}") for key in range(50)} == {(200, "2")}


def test_unloadable_canary_leaves_all_requests_to_the_champion(shelf, tmp_path):
    shelf.add(2, broken="raises")
    shelf.named["challenger"] = "2"
    with served(shelf, tmp_path, canary_percent=50.0) as server:
        until(lambda: server.metric('glassformer_serving_version_refused{version="2"}') == 1)
        assert {server.asks(x_canary_key=str(key)) for key in range(30)} == {(200, "1")}


def test_slow_loading_canary_does_not_delay_a_new_champion(shelf, tmp_path):
    shelf.add(2, broken="hangs")
    shelf.named["challenger"] = "2"
    with served(shelf, tmp_path, canary_percent=50.0) as server:
        shelf.add(3)
        shelf.named["champion"] = "3"
        until(lambda: server.asks() == (200, "3"))
        shelf.add(4)
        shelf.named["challenger"] = "4"  # another one is wanted: what was being loaded is given up
        until(lambda: {one["version"] for one in server.models()["versions"]} >= {"3", "4"})
        assert not server.models()["refused"]


def test_canary_promoted_while_loading_is_not_loaded_twice(shelf, tmp_path):
    with served(shelf, tmp_path, canary_percent=50.0) as server:
        shelf.add(2, seconds=0.2)
        shelf.named["challenger"] = "2"
        until(lambda: "2" in shelf.fetched)
        shelf.named["champion"] = "2"
        until(lambda: server.asks() == (200, "2"))
        assert server.told("serving.switched")[-1].endswith("it was the canary")


def test_dead_worker_is_restarted_and_other_questions_are_answered(shelf, server):
    assert server.asks() == (200, "1")
    # The question that kills is asked twice, then given up; the others are answered by the new worker.
    answers = []
    threads = [
        threading.Thread(target=lambda text=text: answers.append(server.post("/v1/classify", {"inputs": text})))
        for text in ("die", "one", "two", "three")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 500]
    assert server.asks() == (200, "1")
    assert server.metric('glassformer_serving_worker_restarts_total{version="1"}') == 2
    assert len(server.told("serving.worker_died")) == 2


def test_hanging_worker_is_restarted_and_its_version_keeps_serving(shelf, tmp_path):
    with served(shelf, tmp_path, stuck=0.3, deadline=20.0) as server:
        answer = server.post("/v1/classify", {"inputs": "hang"})
        assert answer.status == 500
        assert server.asks() == (200, "1")
        assert server.metric('glassformer_serving_worker_restarts_total{version="1"}') == 2


def test_version_hanging_on_its_first_question_is_refused(shelf, tmp_path):
    with served(shelf, tmp_path, load=1.0) as server:
        shelf.add(2, broken="hangs")
        shelf.named["champion"] = "2"
        (refused,) = until(lambda: server.models()["refused"])
        assert "has not answered after 1 s" in refused["why"]
        assert server.asks() == (200, "1")


def test_remembered_version_follows_a_rollback(shelf, server):
    shelf.add(2)
    shelf.named["champion"] = "2"
    until(lambda: shelf.kept == "2")
    shelf.named["champion"] = "1"
    until(lambda: shelf.kept == "1")
    assert server.asks() == (200, "1")


def test_refused_version_is_cleared_when_the_alias_moves(shelf, server):
    shelf.add(2, broken="raises")
    shelf.named["champion"] = "2"
    until(lambda: server.models()["refused"])
    shelf.named["champion"] = "1"
    until(lambda: not server.models()["refused"])
    assert server.metric('glassformer_serving_version_refused{version="2"}') == 0


def test_both_workers_are_restarted_after_a_question_kills_them(shelf, tmp_path):
    with served(shelf, tmp_path, workers=2) as server:
        assert server.models()["versions"][0]["workers"] == 2
        assert server.post("/v1/classify", {"inputs": "die"}).status == 500  # both have died of it
        until(lambda: server.models()["versions"][0]["workers"] == 2)
        assert server.asks() == (200, "1")


def test_shutdown_answers_all_accepted_requests(shelf, tmp_path):
    shelf.add(1, seconds=0.2)
    with served(shelf, tmp_path, drain=0.1) as server:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(server.post("/v1/classify", {"inputs": "slow"})))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        until(lambda: server.metric("glassformer_serving_in_flight") >= 6)
        server.end()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200] * 6
        assert isinstance(server, Running)
        assert server.told("serving.stopped") == ["stub: ended"]
