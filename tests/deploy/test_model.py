"""The registered model as MLflow loads it: each row of a frame gets its own answer, whatever the frame is like."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tests.small_corpus as small
from tests.registered import home, registered
from tests.waiting import until

TEXTS = ["apple orchard", "", "river boat and a river", "copper", "the cloud\nof rain", " lead", "a" * 200, "apple"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with home(tmp_path_factory, 90) as (client, root, patch, made):
        tuned = small.train(root, "finetune", made, from_scratch=True, max_updates=40, learning_rate=0.01)
        registered(client, root, patch, {**made, "checkpoint": tuned}, "rows")
        yield mlflow.pyfunc.load_model("models:/rows/1")


@pytest.fixture(scope="module")
def alone(model):
    """The answer to each text that is asked alone."""
    return {text: model.predict(pd.DataFrame({"text": [text]})).iloc[0] for text in TEXTS}


def own_answers(answers, texts, alone):
    for column in ("prediction", "truncated", "tokens_read", "tokens_given"):
        assert answers[column].tolist() == [alone[text][column] for text in texts]
    assert answers["probability"].to_numpy() == pytest.approx([alone[text]["probability"] for text in texts], abs=1e-4)


LABELS = [
    st.integers(-5, 5),
    st.text("ab", max_size=2),
    st.tuples(st.integers(0, 2), st.sampled_from("xy")),
    st.sampled_from(pd.date_range("2026-01-01", periods=4).tolist()),
    st.sampled_from([0.5, float("nan"), -1.0, 0.25]),
    st.booleans(),
    st.none(),
]


@st.composite
def frames(draw):
    texts = draw(st.lists(st.sampled_from(TEXTS), max_size=10))
    labels = draw(st.lists(draw(st.sampled_from(LABELS)), min_size=len(texts), max_size=len(texts)))
    tuples = bool(labels) and isinstance(labels[0], tuple)
    index = (
        pd.MultiIndex.from_tuples(labels, names=["a", "b"])
        if tuples
        else pd.Index(labels, dtype=None if labels else "int64")
    )
    dtype = draw(st.sampled_from(["str", "object", "string[python]", "string[pyarrow]"])) if texts else "str"
    others = draw(st.lists(st.sampled_from(["id", "prediction", "index"]), unique=True))
    columns = draw(st.permutations(["text", *others]))
    frame = pd.DataFrame(
        {name: pd.Series(texts, index=index, dtype=dtype) if name == "text" else range(len(texts)) for name in columns},
        index=index,
    )
    if draw(st.booleans()):
        frame = frame.sample(frac=1, random_state=draw(st.integers(0, 9)))
    if draw(st.booleans()):
        frame = frame[np.arange(len(frame)) % 2 == 0]
    return frame


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(frames())
def test_each_row_of_any_frame_gets_its_own_answer(model, alone, frame):
    answers = model.predict(frame)
    assert answers.index.equals(frame.index)
    assert answers.index.names == frame.index.names
    own_answers(answers, frame["text"].tolist(), alone)


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "inputs"])
def test_mlflow_scoring_server_answers_row_by_row(model, alone, form):
    from mlflow.pyfunc.scoring_server import init
    from starlette.testclient import TestClient

    frame = pd.DataFrame({"id": range(len(TEXTS)), "text": TEXTS}).sample(frac=1, random_state=3)
    body = {
        "dataframe_split": {"dataframe_split": frame.to_dict(orient="split")},
        "dataframe_records": {"dataframe_records": frame.to_dict(orient="records")},
        "inputs": {"inputs": {name: frame[name].tolist() for name in frame}},
    }[form]
    answer = TestClient(init(model)).post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    own_answers(pd.DataFrame(answer.json()["predictions"]), frame["text"].tolist(), alone)


def test_long_text_is_truncated_and_marked(model, alone):
    assert alone["a" * 200]["truncated"]
    assert alone["a" * 200]["tokens_read"] == 30, "max_length 32, less the two ends"
    assert alone["a" * 200]["tokens_given"] > 30
    assert not alone["apple"]["truncated"]
    assert alone[""]["tokens_given"] == 0


def test_top_k_returns_classes_with_probabilities(model):
    frame = pd.DataFrame({"text": ["apple", "river"]}, index=[4, 2])
    assert "top" not in model.predict(frame)
    answers = model.predict(frame, params={"top_k": 99})
    for label, row in answers.iterrows():
        assert row["top"][0]["label"] == row["prediction"], label
        assert sorted(one["label"] for one in row["top"]) == ["a", "b", "c"]
        assert sum(one["probability"] for one in row["top"]) == pytest.approx(1, abs=1e-5)
        assert [one["probability"] for one in row["top"]] == sorted(
            (one["probability"] for one in row["top"]), reverse=True
        )
    assert [len(top) for top in model.predict(frame, params={"top_k": 2})["top"]] == [2, 2]


@pytest.mark.parametrize(
    "cell", [["apple"], {"a": 1}, ("a", "b"), {"a"}, b"apple", np.array(["apple", "b"]), pd.Timestamp("2026-01-01")]
)
def test_non_text_cell_is_refused_naming_its_row(model, cell):
    frame = pd.DataFrame({"text": pd.Series(["apple", cell, "river"], index=[5, 7, 9], dtype=object)})
    with pytest.raises(ValueError, match=r"text: row 2 \(index 7\) holds a \w+, where a text is needed"):
        model.predict(frame)


@pytest.mark.parametrize("given", [{"text": ["one text"]}, {"text": ["one", "two"]}])
def test_dict_of_lists_is_refused_and_dict_of_arrays_is_answered(model, given):
    """MLflow makes one row of it, whose cell is the list: a frame or arrays are what it makes rows of."""
    with pytest.raises(ValueError, match=r"row 1 \(index 0\) holds a list.*pandas.DataFrame"):
        model.predict(given)
    answers = model.predict({"text": np.array(given["text"])})
    assert len(answers) == len(given["text"])


def test_missing_cells_become_empty_text_and_numbers_become_strings(model, alone):
    frame = pd.DataFrame({"text": pd.Series([None, np.nan, pd.NA, "", 3, 2.5, True], dtype=object)})
    answers = model.predict(frame)
    for row in range(4):
        assert answers["prediction"][row] == alone[""]["prediction"]
    written = model.predict(pd.DataFrame({"text": ["3", "2.5", "True"]}))
    assert answers["probability"][4:].tolist() == pytest.approx(written["probability"].tolist(), abs=1e-4)


@pytest.mark.slow
def test_mlflow_models_serve_answers_row_by_row(model, alone, tmp_path):
    """The command itself, as a process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        "models:/rows/1",
        "--env-manager",
        "local",
        "-p",
        str(port),
    ]
    with (tmp_path / "log").open("wb") as log:
        found = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it starts uvicorn by its name
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"PATH": found}, start_new_session=True
        )
    try:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False, timeout=60)

        def ready():
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                return pool.request("GET", "/ping").status == 200

        until(ready, 240)
        frame = pd.DataFrame({"id": range(len(TEXTS)), "text": TEXTS}).sample(frac=1, random_state=3)
        body = json.dumps({"dataframe_split": frame.to_dict(orient="split")})
        answer = pool.request("POST", "/invocations", body=body, headers={"content-type": "application/json"})
        assert answer.status == 200, answer.data
        own_answers(pd.DataFrame(answer.json()["predictions"]), frame["text"].tolist(), alone)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
