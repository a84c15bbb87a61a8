"""The last lines of a run: every metric with its interval, and no lead that may be chance."""

import pytest

from pipelines.scores import score_lines, score_metrics


def value(number, low=None, high=None, ahead=None):
    found = {"value": number} | ({} if low is None else {"low": low, "high": high})
    return found | ({} if ahead is None else {"ahead": dict(zip(("value", "low", "high"), ahead, strict=False))})


SCORES = {
    "primary_metric": "macro_f1", "higher_is_better": True, "split": "test", "rows": 1714,
    "metrics": {"accuracy": value(0.88, 0.86, 0.9), "macro_f1": value(0.861, 0.83, 0.89)},
    "baselines": {
        "majority class": {"macro_f1": value(0.1, 0.09, 0.11, (0.761, 0.7, 0.8)), "accuracy": value(0.2, 0.1, 0.3, (0.68, 0.6, 0.7))},
        "TF-IDF": {"macro_f1": value(0.85, 0.82, 0.88, (0.011, -0.01, 0.03)), "accuracy": value(0.9, 0.88, 0.92, (-0.02, -0.03, -0.01))},
    },
}  # fmt: skip


def test_score_lines_show_intervals_and_only_significant_leads():
    assert score_lines(SCORES) == [
        "score     macro F1 on 1,714 rows of the test split, with 95 % intervals",
        "            this model      0.861 [0.830, 0.890]",
        "            majority class  0.100 [0.090, 0.110]  this model is ahead by 0.761 [0.700, 0.800]",
        "            TF-IDF          0.850 [0.820, 0.880]  no difference shown: +0.011 [-0.010, +0.030]",
        "          accuracy",
        "            this model      0.880 [0.860, 0.900]",
        "            majority class  0.200 [0.100, 0.300]  this model is ahead by 0.680 [0.600, 0.700]",
        "            TF-IDF          0.900 [0.880, 0.920]  this model is behind by 0.020 [0.010, 0.030]",
    ]


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        ((-0.2, -0.3, -0.1), "this model is ahead by 0.200 [0.100, 0.300]"),
        ((0.2, 0.1, 0.3), "this model is behind by 0.200 [0.100, 0.300]"),
        ((0.2, -0.1, 0.3), "no difference shown: -0.200 [-0.300, +0.100]"),
        ((0.2, 0.0, 0.3), "no difference shown: -0.200 [-0.300, +0.000]"),
    ],
)
def test_lead_is_inverted_if_lower_is_better(ahead, told):
    scores = {
        **SCORES,
        "primary_metric": "bits_per_byte",
        "higher_is_better": False,
        "metrics": {"bits_per_byte": value(2.0, 1.9, 2.1)},
        "baselines": {"gzip": {"bits_per_byte": value(3.0, 2.9, 3.1, ahead)}},
    }
    assert score_lines(scores)[-1].endswith(told)


def test_incomplete_baseline_is_listed_with_available_values():
    scores = {**SCORES, "baselines": {"gzip": {"macro_f1": value(0.5, ahead=(0.361,))}}}
    lines = score_lines(scores)
    assert lines[2] == "            gzip        0.500"
    assert [line for line in lines if "gzip" in line] == lines[2:3], "it has no accuracy"


def test_score_metrics_name_the_model_by_its_metric_and_others_after_it():
    scores = {
        "metrics": {"macro_f1": {"value": 0.7, "low": 0.6, "high": 0.8}, "accuracy": {"value": 0.8}},
        "baselines": {
            "TF-IDF": {"macro_f1": {"value": 0.6}, "accuracy": {"value": 0.75}},
            "rule": {"accuracy": {"value": 0.1}},
        },
    }
    assert score_metrics(scores) == {
        "macro_f1": 0.7, "accuracy": 0.8, "macro_f1/TF-IDF": 0.6, "accuracy/TF-IDF": 0.75, "accuracy/rule": 0.1,
    }  # fmt: skip
