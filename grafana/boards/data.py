"""Data and tokenizer: what was read, what of it was kept, and how text becomes tokens."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana import board as boards
from grafana.panels import ORANGE, RED, bars, lines, log_lines, newest, number, pushed_metric, query

_OF = 'glassformer_pipeline=~"$pipeline", glassformer_run=~"$run"'
_READ = "glassformer_corpus_rows_read_total"  # the newest run that has it is the one that all panels on a corpus show


def _corpus(metric: str, label: str = "") -> str:
    """A metric of the newest corpus, added up, or by a label."""
    return f"sum{f' by ({label})' if label else ''} ({newest(metric, _OF, _READ)})"


def _newest(metric: str) -> str:
    return f"max({newest(metric, _OF)})"


def _outcomes() -> str:
    """The rows of the newest corpus by where they went: into a split, or out for a reason."""
    kept = f'label_replace({_corpus("glassformer_corpus_rows", "split")}, "outcome", "kept: $1", "split", "(.*)")'
    out = f'label_replace({_corpus("glassformer_corpus_rows_out_total", "reason")}, "outcome", "out: $1", "reason", "(.*)")'
    return f"sum by (outcome) ({kept} or {out})"


def board() -> Dashboard:
    """Answers: what is in the data?"""
    return boards.board(
        "glassformer-data", "Glassformer / Data and tokenizer", "What was read, what was kept, how does it become tokens?",
        [boards.pipeline(), boards.run(several=True)],
        {
            "What was kept?": [
                number("Read", "Rows that the source of the newest corpus gave.", "short", _corpus(_READ)),
                number("From long texts", "Rows beyond the first that texts over max_characters became (long_texts=split).",
                       "short", _corpus("glassformer_corpus_rows_divided_total"), empty="Not reported"),
                number("Kept", "Rows of the newest corpus in all splits.", "short", _corpus("glassformer_corpus_rows"),
                       empty="No corpus was written"),
                number("Rows left out", "Rows of the newest corpus left out, for any reason.", "short",
                       _corpus("glassformer_corpus_rows_out_total"), empty="None"),
                number("Quarantined", "Of these, rows set aside because they are damaged.", "short",
                       _corpus("glassformer_corpus_quarantined_total"), empty="None", steps=[(1, ORANGE)]),
                number("Unaccounted", "Rows read, and from long texts, that were neither kept nor left out by a reason.", "short",
                       f"{_corpus(_READ)} + {_corpus('glassformer_corpus_rows_divided_total')} - {_corpus('glassformer_corpus_rows')} "
                       f"- ({_corpus('glassformer_corpus_rows_out_total')} or vector(0))", empty="Not reported", steps=[(1, RED)]),
                bars("Where the rows went", "Every row of the newest corpus: the split that it is in, or why it is out.",
                     "short", _outcomes(), "outcome"),
                bars("Rows by length", "Characters of a row of the newest corpus.", "short",
                     _corpus("glassformer_corpus_rows_by_length", "length"), "length"),
                bars("Duplicates", "Exact ones, and near ones by MinHash.", "short",
                     _corpus("glassformer_corpus_duplicates_total", "reason"), "reason"),
                bars("Quarantined by reason", "Rows of the newest corpus that are damaged, and were set aside.", "short",
                     _corpus("glassformer_corpus_quarantined_total", "reason"), "reason", empty="No row was set aside"),
                bars("Labels lost by reason", "Labels that the source gave and the corpus does not have.", "short",
                     _corpus("glassformer_corpus_labels_out_total", "reason"), "reason", empty="No label was lost"),
                log_lines("Left out", "What was left out of each source, and where the first is.",
                          '{service_namespace="glassformer", glassformer_step="prepare_data", glassformer_pipeline=~"$pipeline"} '
                          '| glassformer_run=~"$run" | event="corpus.left_out"', width=12, height=8, empty="Nothing was left out"),
            ],
            "How does it become tokens?": [
                number("Tokens a word", "Fertility of the newest tokenizer on the validation split.", "none",
                       _newest("glassformer_tokenizer_fertility"), decimals=2, width=12),
                number("Unknown tokens", "Share of the validation split's tokens that the newest tokenizer does not know.",
                       "percentunit", _newest("glassformer_tokenizer_unknown_share_ratio"), steps=[(0.01, ORANGE)], decimals=2, width=12),
                lines("Tokens a word", "Fertility of each tokenizer that was trained.", "none",
                      [query(f"max by (glassformer_run) ({pushed_metric('glassformer_tokenizer_fertility', _OF)})", "{{glassformer_run}}")],
                      width=8, points=True),
                lines("Bytes a token", "Of the validation split's text.", "decbytes",
                      [query(f"max by (glassformer_run) ({pushed_metric('glassformer_tokenizer_bytes_per_token', _OF)})",
                             "{{glassformer_run}}")],
                      width=8, points=True),
                lines("Exact round trips", "Share of texts that come back exactly.", "percentunit",
                      [query(f"max by (glassformer_run) ({pushed_metric('glassformer_tokenizer_round_trip_share_ratio', _OF)})",
                             "{{glassformer_run}}")], width=8, points=True),
            ],
        },
    )  # fmt: skip
