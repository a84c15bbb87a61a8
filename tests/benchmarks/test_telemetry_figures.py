"""Telemetry's figures from runs whose numbers are chosen by hand."""

import pytest

from benchmarks.telemetry_figures import KINDS, figures, noise, own, summary, whole_share


def run(kind, *, cpu=50.0, seconds=25.0, leaving=0.5, opened=0.1, calls=0.0, digest="same", train_own=0.0):
    spent = {"open": opened, "calls": calls, "threads": 0.0, "close": 0.0, "shipper": 0.0}
    return {
        "kind": kind, "round": 0, "cpu": cpu, "seconds": seconds, "exit": leaving, "digest": digest, "updates": 100,
        "train_seconds": 20.0, "train_cpu": 40.0, "train_own": train_own, "own": spent,
    }  # fmt: skip


def measured(**changed):
    """Five of each kind; `live` is changed."""
    return [run(kind, **(changed if kind == "live" else {})) for kind in KINDS for _ in range(5)]


def by_what(runs, words):
    [found] = [figure for figure in figures(runs) if words in figure["what"]]
    return found


def test_all_bars_are_met_when_telemetry_costs_nothing():
    assert all(figure["ok"] for figure in figures(measured()))
    assert "control" in summary(measured())


def test_one_time_cost_weighs_less_in_longer_training():
    once = run("live", opened=0.5)  # of 50 s; with 5,000 updates of 50 + 49 * 40 = 2,010 s
    assert whole_share([once], "live") == pytest.approx(100 * 0.5 / 2010)
    while_training = run("live", opened=0.0, calls=0.4, train_own=0.4)
    assert own(while_training) == 0.4
    assert whole_share([while_training], "live") == pytest.approx(100 * (0.4 + 49 * 0.4) / 2010)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"opened": 0.0, "calls": 0.6, "train_own": 0.6}, "5,000 updates"),
        ({"cpu": 50.6}, "100 updates"),
        ({"seconds": 25.2}, "wall time"),
        ({"digest": "other"}, "different weights"),
        ({"leaving": 5.6}, "ends later"),
    ],
)
def test_each_bar_can_fail(changed, words):
    assert not by_what(measured(**changed), words)["ok"]


def test_wall_time_bar_allows_spread_of_runs_without_telemetry():
    slow = [run("control", seconds=26.0)]
    assert by_what(measured(seconds=25.9) + slow, "wall time")["ok"]
    assert not by_what(measured(seconds=26.1) + slow, "wall time")["ok"]


def test_process_cpu_is_compared_only_when_noise_is_low():
    assert noise(measured()) == 0
    assert "against runs without it" in by_what(measured(cpu=50.4), "100 updates")["what"]
    assert by_what(measured(cpu=50.4), "100 updates")["value"] == 0.8
    loud = [*measured(), run("control", cpu=55.0)]
    assert noise(loud) == pytest.approx(10)
    assert "counted where it is spent" in by_what(loud, "100 updates")["what"]
    assert "10.0 % apart" in by_what(loud, "100 updates")["bar"]
