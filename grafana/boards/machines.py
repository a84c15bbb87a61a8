"""Machines and stack: what our processes use, and how the backends themselves are."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import ORANGE, RED, lines, number, pushed_metric, query

_NODE = "{{glassformer_step}} {{glassformer_node}}"
_BY = "max by (glassformer_step, glassformer_node) "
_OF = 'glassformer_pipeline=~"$pipeline"'
_EXPORTER = "The exporter does not answer"
_NO_GPU = "No step ran on a machine with an NVIDIA GPU"


def board() -> Dashboard:
    """Answers: do the machines and the backends hold?"""
    free = "min(glassformer_disk_free_bytes / glassformer_disk_size_bytes)"
    return boards.board(
        "glassformer-machines", "Glassformer / Machines and stack", "Do the machines and the backends hold?",
        [boards.pipeline()],
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
            "Our processes": [
                lines("CPU", "Cores that each step's process keeps busy.", "short",
                      [query(f"{_BY}({pushed_metric('process_cpu_cores', _OF)})", _NODE)]),
                lines("Memory", "Resident memory of each step's process.", "bytes",
                      [query(f"{_BY}({pushed_metric('process_resident_bytes', _OF)})", _NODE)]),
                lines("Reads", "Bytes a second that each process reads from disk.", "Bps",
                      [query(f"{_BY}(rate(process_read_bytes_total{{{_OF}}}[$__rate_interval]))", _NODE)]),
                lines("Writes", "Bytes a second that each process writes to disk.", "Bps",
                      [query(f"{_BY}(rate(process_written_bytes_total{{{_OF}}}[$__rate_interval]))", _NODE)]),
                lines("Free disk", "Of the file system of artifacts and outbox.", "bytes",
                      [query("min(glassformer_disk_free_bytes)", "free")], empty=_EXPORTER, steps=[(1e9, RED)]),
                lines("Runs in MLflow", "By their state.", "short",
                      [query("max by (state) (glassformer_runs)", "{{state}}")], empty=_EXPORTER),
            ],
            "GPU": [
                lines("Utilization", "Share of the time in which the GPU of each step's process computed something.",
                      "percentunit", [query(f"{_BY}({pushed_metric('gpu_utilization_ratio', _OF)})", _NODE)], width=8,
                      empty=_NO_GPU),
                lines("GPU memory", "Used memory of the GPU of each step's process, by whomever, and all that it has.",
                      "bytes", [
                          query(f"{_BY}({pushed_metric('gpu_used_bytes', _OF)})", _NODE),
                          query(f"max({pushed_metric('gpu_total_bytes', _OF)})", "all of it"),
                      ], width=8, empty=_NO_GPU),
                lines("Power", "Power that the GPU of each step's process draws.", "watt",
                      [query(f"{_BY}({pushed_metric('gpu_power_watts', _OF)})", _NODE)], width=8, empty=_NO_GPU),
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
            ],
        },
    )  # fmt: skip
