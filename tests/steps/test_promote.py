"""The gate: who becomes champion."""

import pytest

from steps.promote import Candidate, gate


@pytest.mark.parametrize(
    ("candidate", "champion", "promoted", "reason"),
    [
        (Candidate(1, "macro_f1", 0.1), None, True, "there was no champion"),
        (
            Candidate(2, "macro_f1", 0.7),
            Candidate(1, "macro_f1", 0.6),
            True,
            "0.7000, the champion version 1 has 0.6000",
        ),
        (Candidate(2, "macro_f1", 0.6), Candidate(1, "macro_f1", 0.6), False, "0.6000"),
        (Candidate(2, "macro_f1", 0.5), Candidate(1, "macro_f1", 0.6), False, "0.5000"),
        (Candidate(2, "macro_f1", float("nan")), Candidate(1, "macro_f1", 0.6), False, "nan"),
        (Candidate(1, "macro_f1", 0.6), Candidate(1, "macro_f1", 0.6), False, "version 1 is the champion already"),
        (Candidate(2, "accuracy", 0.9), Candidate(1, "macro_f1", 0.6), False, "measured by macro_f1"),
    ],
)
def test_a_higher_primary_metric_wins(candidate, champion, promoted, reason):
    decision = gate(candidate, champion)
    assert decision.promote is promoted
    assert reason in decision.reason
