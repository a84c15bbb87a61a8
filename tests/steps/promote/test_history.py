"""The history of an alias: an order that all clients see, decisions that hold or lose a race, an alias that follows."""

import contextlib
import multiprocessing
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.errors import UserError
from steps import tracking
from steps.promote.history import (
    OVERRIDE,
    PROMOTE,
    ROLLBACK,
    Decision,
    History,
    champion_of,
    champions,
    describe,
    replay,
)
from tests.mlflow_home import own_store


def decision(kind, before, to, **more):
    return Decision(kind, "champion", before, to, "because", "ann@host", **more)


@pytest.mark.parametrize(
    ("made", "holding", "stack"),
    [
        ([], [], []),
        ([(PROMOTE, "", "1")], [True], ["1"]),
        ([(PROMOTE, "", "1"), (PROMOTE, "1", "2")], [True, True], ["1", "2"]),
        ([(PROMOTE, "", "1"), (PROMOTE, "1", "2"), (PROMOTE, "1", "3")], [True, True, False], ["1", "2"]),
        ([(PROMOTE, "", "1"), (PROMOTE, "1", "2"), (ROLLBACK, "2", "1")], [True, True, True], ["1"]),
        (
            [(PROMOTE, "", "1"), (PROMOTE, "1", "2"), (ROLLBACK, "2", "1"), (ROLLBACK, "2", "1")],
            [True, True, True, False],
            ["1"],
        ),
        ([(PROMOTE, "4", "5"), (OVERRIDE, "5", "6")], [True, True], ["4", "5", "6"]),
        ([(OVERRIDE, "", "4"), (PROMOTE, "4", "5")], [True, True], ["4", "5"]),
    ],
)
def test_decision_holds_only_if_made_against_the_current_champion(made, holding, stack):
    found = replay([decision(*one) for one in made])
    assert [one.holds for one in found] == holding
    assert champions(found) == stack
    assert champion_of(found, "none") == (stack[-1] if stack else "none")


@given(
    st.lists(st.tuples(st.sampled_from([PROMOTE, OVERRIDE, ROLLBACK]), st.sampled_from("123"), st.sampled_from("123")))
)
def test_champion_follows_the_last_decision_that_holds(made):
    found = replay([decision(*one) for one in made])
    champion = None
    for one in found:
        assert one.holds == (champion is None or one.before == champion)
        champion = one.to if one.holds else champion
    assert champion_of(found, "x") == (champion or "x")
    assert not found or champions(found)[-1] == champion


def test_describe_writes_a_decision_as_a_sentence():
    assert describe(decision(PROMOTE, "", "1")) == "Version 1 is champion (there was none), by ann@host: because"
    assert describe(decision(OVERRIDE, "1", "2")).startswith("Version 2 is, against the gate, champion (was 1)")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield own_store(tmp_path_factory.mktemp("mlflow"), patch)


def model(store, name, versions):
    store.create_registered_model(name)
    for _ in range(versions):
        store.create_model_version(name, "somewhere")
    return History(store, name)


def test_alias_follows_decisions_and_rollback_undoes_the_last(store):
    history = model(store, "walk", 3)
    assert (history.champion(), history.previous()) == ("", "")
    assert history.decide(decision(PROMOTE, "", "1", digest="d", trace_id="t")).holds
    assert history.decide(decision(PROMOTE, "1", "2")).holds
    assert history.decide(decision(PROMOTE, "1", "3")).holds is False, "it lost the race"
    assert history.alias_version() == history.champion() == "2"
    assert history.previous() == "1"
    first, *_ = history.decisions()
    assert (first.number, first.by, first.why, first.digest, first.trace_id) == (1, "ann@host", "because", "d", "t")
    assert first.at > 1.7e9

    history.decide(decision(ROLLBACK, "2", "1"))
    assert (history.alias_version(), history.previous()) == ("1", "")


def test_reconcile_restores_a_moved_or_deleted_alias(store):
    history = model(store, "behind", 2)
    history.decide(decision(PROMOTE, "", "1"))
    store.set_registered_model_alias("behind", "champion", "2")
    assert history.reconcile() == "1"
    assert history.reconcile() == ""
    store.delete_registered_model_alias("behind", "champion")
    assert history.reconcile() == "1"


def test_reconcile_does_not_restore_a_deleted_champion(store):
    history = model(store, "deleted", 3)
    for before, to in (("", "1"), ("1", "2"), ("2", "3")):
        history.decide(decision(PROMOTE, before, to))
    store.delete_model_version("deleted", "3")
    store.delete_model_version("deleted", "2")
    assert history.reconcile() == ""
    assert history.alias_version() == ""
    assert (history.champion(), history.previous()) == ("3", "1")


def test_error_names_the_missing_model(store):
    with pytest.raises(UserError, match="nobody: no such registered model"):
        History(store, "nobody").alias_version()


def promote(own, number):
    """One promoter: every fifth takes the last decision back. Each decides against the champion that it sees."""
    before, previous = own.champion(), own.previous()
    if number % 5 == 4 and previous:
        own.decide(decision(ROLLBACK, before, previous))
    else:
        own.decide(decision(PROMOTE, before, str(number)))


@contextlib.contextmanager
def alias_is_read(history):
    """All that the alias is meanwhile."""
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            seen.add(history.alias_version())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def check_whole(history, seen, count):
    """`count` decisions in their order, and an alias that never was anything else than one that held."""
    decisions = history.decisions()
    assert [one.number for one in decisions] == list(range(1, count + 1)), "none is lost, none written twice"
    assert history.alias_version() == champion_of(decisions, "")
    assert seen <= {one.to for one in decisions if one.holds}
    held = sum(one.holds for one in decisions)
    assert 2 <= held < count, "some won, and some lost a race"


def test_concurrent_promoters_keep_history_complete_and_alias_correct(store):
    """Fifty, twelve at a time: at every read the alias is what was decided."""
    history, promoters = model(store, "race", 51), 50
    history.decide(decision(PROMOTE, "", "1"))
    with alias_is_read(history) as seen, ThreadPoolExecutor(12) as pool:
        done = [
            pool.submit(lambda number: promote(History(store, "race"), number), number)
            for number in range(2, promoters + 2)
        ]
    assert [one.exception() for one in done] == [None] * promoters
    check_whole(history, seen, promoters + 1)


def promote_all(numbers, began):
    """A process with promoters one after another."""
    own = History(tracking.connect(), "processes")
    began.wait()
    for number in numbers:
        promote(own, number)


@pytest.mark.slow
def test_history_stays_complete_when_promoting_processes_are_killed(store):
    """Fifty promoters in five processes, two of which are killed in their midst: the next one sets right what they left."""
    history, processes, killed = model(store, "processes", 51), 5, 2
    history.decide(decision(PROMOTE, "", "1"))
    spawn = multiprocessing.get_context("spawn")
    began = spawn.Barrier(processes + 1)
    running = [
        spawn.Process(target=promote_all, args=(range(2 + place, 52, processes), began)) for place in range(processes)
    ]
    for one in running:
        one.start()
    with alias_is_read(history) as seen:
        began.wait(120)
        for more, one in enumerate(running[:killed]):
            while len(history.numbers()) < 8 + 4 * more and one.is_alive():
                time.sleep(0.005)
            one.kill()
        for one in running:
            one.join()
    assert [one.exitcode for one in running[killed:]] == [0] * (processes - killed)
    assert -signal.SIGKILL in [one.exitcode for one in running[:killed]], "at least one was killed before its end"
    made = len(history.numbers())
    assert 1 + 10 * (processes - killed) <= made < 51
    history.reconcile()
    check_whole(history, seen, made)
