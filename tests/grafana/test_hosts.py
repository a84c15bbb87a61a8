"""Figures by machine, computed by promtool: of two processes on one machine, and of one on another."""

import json
import subprocess

import pytest

from grafana import hosts
from grafana.live import Backends
from tests.stack.live import program

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
# a: 75 % of 2 cores are busy, half a core by each of two processes; a third one has ended. b: 1 core of 4, all by ours.
# c: two steps of ours that followed one another within a moment, three cores of two.
SERIES = {
    'system_cpu_utilization_ratio{host_name="a", instance="1"}': "0.75x12",
    'system_cpu_utilization_ratio{host_name="a", instance="2"}': "0.75x12",
    'system_cpu_utilization_ratio{host_name="b", instance="3"}': "0.25x12",
    'system_cpu_logical_count{host_name="a", instance="1"}': "2x12",
    'system_cpu_logical_count{host_name="a", instance="2"}': "2x12",
    'system_cpu_logical_count{host_name="b", instance="3"}': "4x12",
    'system_cpu_load_average_1m{host_name="a", instance="1"}': "38x12",
    'system_cpu_load_average_1m{host_name="b", instance="3"}': "1x12",
    'glassformer_process_cpu_cores{host_name="a", instance="0"}': "1.9x6",
    'glassformer_process_cpu_cores{host_name="a", instance="1"}': "0.5x12",
    'glassformer_process_cpu_cores{host_name="a", instance="2"}': "0.5x12",
    'glassformer_process_cpu_cores{host_name="b", instance="3"}': "1.1x12",
    'system_cpu_logical_count{host_name="c", instance="5"}': "2x12",
    'glassformer_process_cpu_cores{host_name="c", instance="4"}': "1.5x11",
    'glassformer_process_cpu_cores{host_name="c", instance="5"}': "1.5x12",
}


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (hosts.busy_cores(""), {"a": 1.5, "b": 1}),
        (hosts.busy_cores('host_name=~"b"'), {"b": 1}),
        (hosts.of_processes("glassformer_process_cpu_cores", ""), {"a": 1, "b": 1.1, "c": 3}),
        (hosts.our_cores(""), {"a": 1, "b": 1.1, "c": 2}),
        (hosts.other_cores(""), {"a": 0.5, "b": 0}),
        (hosts.share("system_cpu_load_average_1m", "system_cpu_logical_count", ""), {"a": 19, "b": 0.25}),
        (hosts.newest(hosts.of_machine("system_cpu_logical_count", "", "1m")), {"a": 2, "b": 4, "c": 2}),
    ],
)
def test_figures_of_a_machine_are_counted_once_and_those_of_processes_added(tmp_path, expr, expected):
    filled = Backends({}, 0, 3600).fill(expr)
    samples = [{"labels": f'{{host_name="{host}"}}', "value": value} for host, value in expected.items()]
    asked = {"expr": filled, "eval_time": "1m", "exp_samples": samples}
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    test = {"interval": "5s", "input_series": series, "promql_expr_test": [asked]}
    file = tmp_path / "hosts.yml"
    file.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
