"""Machines and stack: how busy the machines are, what our processes use of them, and how the backends themselves are."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana import hosts
from grafana.panels import BLUE, ORANGE, RED, Panel, lines, number, pushed_metric, query

_NODE = "{{glassformer_step}} {{glassformer_node}}"
_BY = "max by (glassformer_step, glassformer_node) "
_HOST = 'host_name=~"$host"'
_OF = f'glassformer_pipeline=~"$pipeline", {_HOST}'
_EXPORTER = "The exporter does not answer"
_NO_GPU = "No step ran on a machine with an NVIDIA GPU"
_NO_MACHINE = "No process of ours ran in this time range: they report for their machine"
_LOAD = [(1.5, ORANGE), (2.0, RED)]  # threads for each core: a training that has the machine to itself is at about 1


def _machines() -> list[Panel]:
    """How busy each machine is, beside what our processes use of it."""

    def now(
        title: str, description: str, unit: str, expr: str, steps: list[tuple[float, str]], decimals: int = 0
    ) -> Panel:
        shown = f"{description} As of the last full minute in which a process reported it."
        return number(
            title,
            shown,
            unit,
            hosts.newest(expr),
            legend="{{host_name}}",
            steps=steps,
            decimals=decimals,
            empty=_NO_MACHINE,
        )

    def curve(expr: str, name: str) -> Any:
        return query(expr, f"{{{{host_name}}}}: {name}")

    cores = hosts.of_machine("system_cpu_logical_count", _HOST, "1m")
    return [
        now("Cores", "Logical CPUs of each machine.", "short", cores, []),
        now("Busy", "Share of each machine's cores that anything keeps busy.", "percentunit",
            hosts.of_machine("system_cpu_utilization_ratio", _HOST, "1m"), []),
        now("Busy with other work", "Share of each machine's cores that is busy with anything but the processes that report their "
            "own: other programs, a training's further ranks, a server's workers, the backends.", "percentunit",
            f"{hosts.other_cores(_HOST)} / {cores}", [(0.25, ORANGE), (0.5, RED)]),
        now("Load of a core", "Threads that run or wait to run, over a minute, for each core: above 1 they wait for one another.",
            "short", hosts.share("system_cpu_load_average_1m", "system_cpu_logical_count", _HOST, "1m"), _LOAD, 1),
        now("Memory used", "Share of each machine's memory that is not available.", "percentunit",
            hosts.share("system_memory_usage_bytes", "system_memory_limit_bytes", _HOST, "1m"), [(0.85, ORANGE), (0.95, RED)]),
        now("Disk left", "Share of the disk of each machine's home that is free.", "percentunit",
            hosts.share("system_filesystem_usage_bytes", "system_filesystem_limit_bytes", _HOST, "1m"),
            [(0, RED), (0.1, ORANGE), (0.2, BLUE)]),
        lines("CPU of each machine", "Busy cores, those that our processes keep busy, and all.", "short", [
            curve(hosts.busy_cores(_HOST), "busy"),
            curve(hosts.our_cores(_HOST), "our processes"),
            curve(hosts.of_machine("system_cpu_logical_count", _HOST), "all cores"),
        ], empty=_NO_MACHINE),
        lines("Memory of each machine", "Used memory, the resident memory of our processes (what they share counts for each), and "
              "all.", "bytes", [
                  curve(hosts.of_machine("system_memory_usage_bytes", _HOST), "used"),
                  curve(hosts.of_processes("glassformer_process_resident_bytes", _HOST), "our processes"),
                  curve(hosts.of_machine("system_memory_limit_bytes", _HOST), "all of it"),
              ], empty=_NO_MACHINE),
        lines("Load of each core", "Threads that run or wait to run, over a minute, for each core.", "short",
              [curve(hosts.share("system_cpu_load_average_1m", "system_cpu_logical_count", _HOST), "load of a core")],
              steps=_LOAD, empty=_NO_MACHINE),
        lines("Disk of each machine", "Share of the disk of each machine's home that is free.", "percentunit",
              [curve(hosts.share("system_filesystem_usage_bytes", "system_filesystem_limit_bytes", _HOST), "free")],
              steps=[(0.1, RED)], empty=_NO_MACHINE),
    ]  # fmt: skip


def board() -> Dashboard:
    """Answers: do the machines and the backends hold?"""
    free = "min(glassformer_disk_free_bytes / glassformer_disk_size_bytes)"
    return boards.board(
        "glassformer-machines", "Glassformer / Machines and stack", "Do the machines and the backends hold?",
        [boards.pipeline(), boards.label("host", "host_name", "system_cpu_logical_count", shown="Machine")],
        {
            "Is it all right?": [
                number("Backends up", "Share of the backends and the exporter that answer.", "percentunit", "avg(up)",
                       steps=[], decimals=0),
                number("Free disk", "Share of the disk of artifacts and outbox that is free.", "percentunit", free,
                       empty=_EXPORTER, decimals=0),
                number("Artifacts", "Bytes of everything that the steps made, and of their token files.", "bytes",
                       "max(glassformer_artifacts_bytes) + max(glassformer_token_files_bytes)", empty=_EXPORTER),
                number("Refused log lines", "That Loki refused in this time range.", "short",
                       "sum(increase(loki_discarded_samples_total[$__range]))", empty="None", steps=[(1, ORANGE)]),
                number("Refused samples", "That came too late, or twice with another value.", "short",
                       "sum(increase(prometheus_target_scrapes_sample_out_of_order_total[$__range])) "
                       "+ sum(increase(prometheus_tsdb_too_old_samples_total[$__range]))", empty="None",
                       steps=[(1, ORANGE)], decimals=0),
                number("MLflow", "Whether the exporter reaches it.", "bool_yes_no", "min(glassformer_mlflow_up)",
                       empty=_EXPORTER),
            ],
            "The machines": _machines(),
            "Our processes": [
                lines("CPU", "Cores that each step's process keeps busy.", "short",
                      [query(f"{_BY}({pushed_metric('glassformer_process_cpu_cores', _OF)})", _NODE)]),
                lines("Memory", "Resident memory of each step's process.", "bytes",
                      [query(f"{_BY}({pushed_metric('glassformer_process_resident_bytes', _OF)})", _NODE)]),
                lines("Reads", "Bytes a second that each process reads from disk.", "Bps",
                      [query(f"{_BY}(rate(glassformer_process_read_bytes_total{{{_OF}}}[$__rate_interval]))", _NODE)]),
                lines("Writes", "Bytes a second that each process writes to disk.", "Bps",
                      [query(f"{_BY}(rate(glassformer_process_written_bytes_total{{{_OF}}}[$__rate_interval]))", _NODE)]),
                lines("Free disk", "Of the file system of artifacts and outbox.", "bytes",
                      [query("min(glassformer_disk_free_bytes)", "free")], empty=_EXPORTER, steps=[(1e9, RED)]),
                lines("Runs in MLflow", "By their state.", "short",
                      [query("max by (state) (glassformer_runs)", "{{state}}")], empty=_EXPORTER),
            ],
            "GPU": [
                lines("Utilization", "Share of the time in which the GPU of each step's process computed something.",
                      "percentunit", [query(f"{_BY}({pushed_metric('glassformer_gpu_utilization_ratio', _OF)})", _NODE)], width=8,
                      empty=_NO_GPU),
                lines("GPU memory", "Used memory of the GPU of each step's process, by whomever, and all that it has.",
                      "bytes", [
                          query(f"{_BY}({pushed_metric('glassformer_gpu_used_bytes', _OF)})", _NODE),
                          query(f"max({pushed_metric('glassformer_gpu_total_bytes', _OF)})", "all of it"),
                      ], width=8, empty=_NO_GPU),
                lines("Power", "Power that the GPU of each step's process draws.", "watt",
                      [query(f"{_BY}({pushed_metric('glassformer_gpu_power_watts', _OF)})", _NODE)], width=8, empty=_NO_GPU),
            ],
            "The backends": [
                lines("Up", "Whether each answers Prometheus.", "short", [query("min by (job) (up)", "{{job}}")], width=8),
                lines("Log lines taken", "By Loki, a second.", "short",
                      [query("sum(rate(loki_distributor_lines_received_total[$__rate_interval]))", "lines")], width=8),
                lines("Samples taken", "By Prometheus, a second.", "short",
                      [query("sum(rate(prometheus_tsdb_head_samples_appended_total[$__rate_interval]))", "samples")],
                      width=8),
                lines("Spans taken", "By Tempo, a second.", "short",
                      [query("sum(rate(tempo_distributor_spans_received_total[$__rate_interval]))", "spans")], width=8,
                      empty="No Tempo, or no span in this time range"),
                lines("Series and streams", "What each keeps in memory.", "short", [
                    query("max(prometheus_tsdb_head_series)", "series in Prometheus"),
                    query("sum(loki_ingester_memory_streams)", "streams in Loki"),
                ], width=8),
                lines("Memory of the backends", "Resident memory.", "bytes",
                      [query('max by (job) (process_resident_memory_bytes)', "{{job}}")], width=8),
                lines("Age of the exporter's values", "How long ago the exporter last collected what it serves.", "s",
                      [query("time() - max(glassformer_exporter_collected_timestamp_seconds)", "age")], width=24,
                      empty=_EXPORTER, steps=[(180, RED)]),
            ],
        },
    )  # fmt: skip
