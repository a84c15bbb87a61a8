"""Data and tokenizer: what was read, what of it was kept, and how text becomes tokens."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import ORANGE, bars, lines, log_lines, newest, number, pushed_metric, query

_OF = 'glassformer_pipeline=~"$pipeline", glassformer_run=~"$run"'


def _last(metric: str) -> str:
    return f"last_over_time({metric}{{{_OF}}}[$__range])"


def _newest(metric: str, label: str) -> str:
    return f"max by ({label}) ({newest(metric, _OF)})"


def board() -> Dashboard:
    """Answers: what is in the data?"""
    return boards.board(
        "glassformer-data", "Glassformer / Data and tokenizer", "What was read, what was kept, how does it become tokens?",
        [boards.pipeline(), boards.run(several=True)],
        {
            "What was kept?": [
                number("Read", "Rows that the source gave.", "short", f"max({_last('corpus_rows_read_total')})"),
                number("Kept", "Rows in all splits.", "short", f"max(sum by (glassformer_run) ({_last('corpus_rows')}))"),
                number("Duplicates", "Rows dropped because an earlier one says the same.", "short",
                       f"max(sum by (glassformer_run) ({_last('corpus_duplicates_total')}))"),
                number("Quarantined", "Rows set aside because they are damaged.", "short",
                       f"max(sum by (glassformer_run) ({_last('corpus_quarantined_total')}))", empty="None",
                       steps=[(1, ORANGE)]),
                number("Tokens a word", "Fertility on the validation split.", "none",
                       f"max({_last('tokenizer_fertility')})", decimals=2),
                number("Unknown tokens", "Share of the validation split's tokens that are unknown.", "percentunit",
                       f"max({_last('tokenizer_unknown_share_ratio')})", steps=[(0.01, ORANGE)], decimals=2),
                bars("Rows by split", "Rows of the newest corpus.", "short", _newest("corpus_rows", "split"), "split",
                     width=8),
                bars("Rows by length", "Characters of a row of the newest corpus.", "short",
                     _newest("corpus_rows_by_length", "length"), "length", width=8),
                bars("Duplicates", "Exact ones, and near ones by MinHash.", "short",
                     _newest("corpus_duplicates_total", "reason"), "reason", width=8),
                bars("Quarantined by reason", "Why rows were set aside.", "short",
                     _newest("corpus_quarantined_total", "reason"), "reason", empty="No row was set aside"),
                bars("Left out by reason", "Rows that the source gave and the corpus does not have.", "short",
                     _newest("corpus_rows_out_total", "reason"), "reason", empty="No row was left out"),
                bars("Labels lost by reason", "Labels that the source gave and the corpus does not have.", "short",
                     _newest("corpus_labels_out_total", "reason"), "reason", empty="No label was lost"),
                log_lines("Left out", "What was left out of each source, and where the first is.",
                          '{service_name="glassformer", glassformer_step="prepare_data"} | glassformer_run=~"$run" '
                          '| event="corpus.left_out"', width=12, height=8, empty="Nothing was left out"),
            ],
            "How does it become tokens?": [
                lines("Tokens a word", "Fertility of each tokenizer that was trained.", "none",
                      [query(f"max by (glassformer_run) ({pushed_metric('tokenizer_fertility', _OF)})", "{{glassformer_run}}")],
                      width=8, points=True),
                lines("Bytes a token", "Of the validation split's text.", "decbytes",
                      [query(f"max by (glassformer_run) ({pushed_metric('tokenizer_bytes_per_token', _OF)})", "{{glassformer_run}}")],
                      width=8, points=True),
                lines("Exact round trips", "Share of texts that come back exactly.", "percentunit",
                      [query(f"max by (glassformer_run) ({pushed_metric('tokenizer_round_trip_share_ratio', _OF)})",
                             "{{glassformer_run}}")], width=8, points=True),
            ],
        },
    )  # fmt: skip
