"""The interface: MLflow's protocol, /v1, streams, what operators ask, and how each wrong question is told."""

import base64
import json
import threading

import pytest

from deploy.serving import request_parsing
from tests.deploy.serving.stub import served
from tests.waiting import until

TEXTS = ["one", "other"]
EXPECTED = [{"prediction": "v1", "probability": 0.503}, {"prediction": "v1", "probability": 0.505}]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["id", "text"], "data": [[1, "one"], [2, "other"]]}},
        {"dataframe_records": [{"text": "one", "id": 1}, {"text": "other"}]},
        {"instances": TEXTS},
        {"instances": [{"text": "one"}, {"text": "other"}]},
        {"inputs": {"text": TEXTS}},
        {"inputs": TEXTS},
        {"inputs": TEXTS, "params": {}},
        {"inputs": TEXTS, "params": None},
    ],
)
def test_mlflow_protocol_accepts_every_json_format(server, body):
    answer = server.post("/invocations", body)
    assert (answer.status, answer.json()) == (200, {"predictions": EXPECTED})
    assert answer.headers["x-model-version"] == "1"


def test_mlflow_protocol_accepts_csv_params_and_non_text_values(server):
    answer = server.post("/invocations", b"id,text\n1,one\n2,other\n", content_type="text/csv; charset=utf-8")
    assert answer.json() == {"predictions": EXPECTED}
    answer = server.post("/invocations", {"inputs": ["one"], "params": {"loud": True}})
    assert answer.json()["predictions"][0]["prediction"] == "V1"
    answer = server.post("/invocations", {"inputs": [None, 3, 2.5, True]})
    assert [one["probability"] for one in answer.json()["predictions"]] == [0.5, 0.501, 0.503, 0.504]


def test_health_version_model_and_page_routes_answer(server):
    for path in ("/healthz", "/readyz", "/ping", "/health"):
        assert server.get(path).status == 200
    assert server.get("/version").data.decode().count(".") == 2
    assert server.get("/models/1").json()["version"] == "1"
    page = server.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert server.get("/page.js").status == server.get("/page.css").status == 200


def test_metrics_are_served_in_both_formats_with_trace_exemplars(server):
    server.observe.request = lambda done: True  # it has a span
    answer = server.post("/v1/classify", {"inputs": "a"})
    assert server.metric('glassformer_serving_requests_total{code="200",endpoint="v1/classify",version="1"}') == 1
    assert server.metric('glassformer_serving_version{role="champion",version="1"}') == 1
    text = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0").data.decode()
    assert f'trace_id="{answer.headers["x-trace-id"]}"' in text
    assert text.endswith("# EOF\n")


def test_generation_streams_pieces_and_stops_when_the_client_leaves(shelf, tmp_path):
    shelf.add(1, task="causal_lm", seconds=0.01)
    with served(shelf, tmp_path) as server:
        answer = server.post("/v1/generate", {"inputs": "to be or not", "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = answer.data.decode().strip().split("\n\n")
        assert [json.loads(one.removeprefix("data: "))["piece"] for one in events[:-1]] == ["to ", "be ", "or ", "not "]
        assert events[-1] == 'event: end\ndata: {"version": "1"}'
        assert server.post("/v1/generate", {"inputs": "to be"}).json()["answers"][0]["prediction"] == "v1"

        # Two at once take turns.
        found = []
        threads = [
            threading.Thread(
                target=lambda: found.append(server.post("/v1/generate", {"inputs": "a b c", "stream": True}).data)
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(one.count(b"piece") == 3 for one in found)

        long = server.pool.request(
            "POST",
            "/v1/generate",
            body=json.dumps({"inputs": "x " * 5000, "stream": True}),
            preload_content=False,
            headers={"content-type": "application/json"},
        )
        assert long.read(10)
        long.close()
        until(lambda: server.metric("glassformer_serving_in_flight") == 0, 5)
        until(
            lambda: (
                server.metric('glassformer_serving_requests_total{code="499",endpoint="v1/generate",version="1"}') == 1
            )
        )
        assert server.post("/v1/generate", {"inputs": "still here", "stream": True}).status == 200


def test_images_are_accepted_as_base64(shelf, tmp_path):
    shelf.add(1, task="image_classification")
    with served(shelf, tmp_path) as server:
        one = base64.b64encode(b"any bytes").decode()
        assert server.post("/v1/images", {"images": [one, one]}).json()["answers"][1]["prediction"] == "v1"
        assert server.post("/invocations", {"dataframe_split": {"columns": ["image"], "data": [[one]]}}).status == 200
        answer = server.post("/v1/images", {"images": base64.b64encode(b"no picture").decode()})
        assert (answer.status, answer.json()["message"]) == (422, "image 1 is no image")
        answer = server.post("/v1/images", {"images": ["*"]})
        assert (answer.status, answer.json()["message"]) == (422, "image 1 is not base64")


def test_attention_route_returns_pieces_and_maps(server):
    told = server.post("/v1/attention", {"input": "a text"}).json()
    assert told == {"pieces": ["a", "b"], "maps": {"layer 1, head 1": [[0.9, 0.1], [0.2, 0.8]]}, "note": "two tokens"}


WRONG = [
    ("/v1/classify", b"", 400, "the body is not JSON"),
    ("/v1/classify", b"{", 400, "the body is not JSON"),
    ("/v1/classify", b'{"inputs": NaN}', 400, "NaN is no number of JSON"),
    ("/v1/classify", b"\xff\xfe", 400, "not UTF-8"),
    ("/v1/classify", b"[" * 1000 + b"]" * 1000, 400, "nested too deeply"),
    ("/v1/classify", b"[" * 40_000, 400, "nested too deeply"),
    ("/v1/classify", b"[" * 200_000, 413, "more than 50000 values"),
    ("/v1/classify", b'{"inputs": "\\ud800"}', 422, "half a character"),
    ("/v1/classify", {"inputs": 3}, 422, "inputs"),
    ("/v1/classify", {"inputs": []}, 422, "nothing is asked"),
    ("/v1/classify", {"inputs": "a", "opinions": {}}, 422, "opinions"),
    ("/v1/classify", {"inputs": "a", "options": {"quiet": 1}}, 422, "options of stub: quiet"),
    ("/v1/classify", {"inputs": ["a"] * 513}, 413, "513 inputs, where one request may have 512"),
    ("/v1/classify", {"inputs": "a" * 200_001}, 413, "200001 characters"),
    ("/v1/classify", {"inputs": "raise"}, 500, "version 1 failed; the server's log has trace"),
    ("/v1/embed", {"inputs": "a"}, 404, "stub is a model for classification: use /v1/classify"),
    ("/v1/nothing", {"inputs": "a"}, 404, "Not Found"),
    ("/invocations", {"inputs": ["a"], "instances": ["a"]}, 400, "send one of dataframe_split"),
    ("/invocations", {"question": "a"}, 400, "unknown: question"),
    ("/invocations", {"dataframe_split": {"columns": ["x"], "data": [["a"]]}}, 422, "needs the column 'text'"),
    (
        "/invocations",
        {"dataframe_split": {"columns": ["text"], "data": [[]]}},
        422,
        "row 1 has 0 cells, where there are 1 columns",
    ),
    ("/invocations", {"dataframe_split": []}, 422, "dataframe_split: give"),
    ("/invocations", {"dataframe_records": [3]}, 422, "row 1 is a number where an object is needed"),
    ("/invocations", {"inputs": [["a"]]}, 422, "row 1 is a list where a text is needed"),
    ("/invocations", {"inputs": ["a"], "params": 3}, 422, "params: give an object"),
    ("/invocations", [1], 400, "the body is a JSON list"),
    ("/invocations", {"inputs": []}, 422, "nothing is asked"),
]


@pytest.mark.parametrize(("path", "body", "code", "told"), WRONG, ids=range(len(WRONG)))
def test_invalid_request_is_explained_and_the_next_one_is_answered(server, path, body, code, told):
    answer = server.post(path, body)
    assert answer.status == code
    assert told in answer.json()["message"]
    assert set(answer.json()) == {"error_code", "message"}
    assert server.asks() == (200, "1")


CSV = [
    (b"text\nReturn the sum, then stop.\n", "the CSV: row 1 has 2 cells, where the header has 1"),
    (b"id,text\n1\n2,hello\n", "the CSV: row 1 has 1 cells, where the header has 2"),
    (b'text\nfine\n"open\n', "the CSV: row 2: a quotation mark is not closed"),
    (b'text\n"a" b\n', "the CSV: row 1: text follows a closing quotation mark"),
    (b"text,text\na,b\n", "the CSV: the header names 'text' twice"),
    (b"id\n1\n", "the CSV: the model needs the column 'text'"),
    (b"text\na\n\nb\n", "the CSV: row 2 is blank"),
    (b"text\n", "nothing is asked"),
]


@pytest.mark.parametrize(("body", "told"), CSV)
def test_invalid_csv_is_refused_with_the_reason(server, body, told):
    answer = server.post("/invocations", body, content_type="text/csv")
    assert (answer.status, answer.json()["error_code"]) == (422, "INVALID_PARAMETER_VALUE")
    assert told in answer.json()["message"]


def test_csv_with_a_byte_order_mark_or_carriage_returns_is_answered(server):
    for body in (b"\xef\xbb\xbftext\none\nother\n", b'text\r\none\r\n"other"\r\n', b"text\none\nother"):
        assert server.post("/invocations", body, content_type="text/csv").json() == {"predictions": EXPECTED}
    answer = server.post("/invocations", b'text\n"' + b"a," * 80_000 + b'"\n', content_type="text/csv")
    assert answer.status == 200, "a text may be longer than the library's own bound of a cell"


def test_truncated_texts_are_marked_and_counted(shelf, tmp_path):
    shelf.add(1, reads=4)
    with served(shelf, tmp_path) as server:
        found = server.post("/v1/classify", {"inputs": ["a" * 40, "a"]}).json()["answers"]
        assert [(one["truncated"], one["tokens_read"], one["tokens_given"]) for one in found] == [
            (True, 4, 11),
            (False, 1, 1),
        ]
        assert server.metric('glassformer_serving_truncated_total{version="1"}') == 1
        found = server.post("/invocations", {"inputs": ["a" * 40]}).json()["predictions"]
        assert found[0]["truncated"]
    shelf.add(2, task="causal_lm", reads=4)
    shelf.named["champion"] = "2"
    with served(shelf, tmp_path) as server:
        events = (
            server.post("/v1/generate", {"inputs": "to be or not to be", "stream": True})
            .data.decode()
            .strip()
            .split("\n\n")
        )
        told = {"version": "2", "truncated": True, "tokens_read": 4, "tokens_given": 5}
        assert json.loads(events[-1].removeprefix("event: end\ndata: ")) == told
        assert server.metric('glassformer_serving_truncated_total{version="2"}') == 1


def test_api_examples_are_questions_recorded_with_the_model(server):
    assert server.models()["versions"][0]["examples"] == ["a", "text", "\u2603"]
    paths = server.get("/openapi.json").json()["paths"]
    asked = paths["/v1/classify"]["post"]["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    assert asked == {"inputs": ["a"]}
    content = paths["/invocations"]["post"]["requestBody"]["content"]
    for kind, body in ((kind, content[kind]["examples"]["one"]["value"]) for kind in content):
        answer = server.post("/invocations", body if kind == "application/json" else body.encode(), content_type=kind)
        assert answer.status == 200, "each example can be sent"


def test_internal_error_is_reported_counted_and_logged(server, monkeypatch, caplog):
    def broken(*given):
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(request_parsing, "of_form", broken)
        answer = server.post("/v1/classify", {"inputs": "a"})
    assert (answer.status, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.metric('glassformer_serving_requests_total{code="500",endpoint="v1/classify",version="1"}') == 1
    assert "a fault of ours" in caplog.text
    assert server.asks() == (200, "1")


def test_wrong_methods_content_types_and_versions_are_refused(server):
    assert server.get("/v1/classify").status == 405
    assert server.post("/invocations", b"<a/>", content_type="application/xml").status == 415
    for number in ("2", "..%2f..%2fetc%2fpasswd", "a" * 21):
        assert server.get(f"/models/{number}").status in (404, 422)


def test_request_deadline_is_enforced(shelf, tmp_path):
    shelf.add(1, seconds=0.5)
    with served(shelf, tmp_path) as server:
        answer = server.post("/v1/classify", {"inputs": "a"}, x_deadline_seconds="0.05")
        assert answer.status == 504
        assert server.post("/v1/classify", {"inputs": "a"}, x_deadline_seconds="soon").status == 400
        assert server.metric('glassformer_serving_rejected_total{reason="deadline_exceeded"}') == 1


def test_full_queue_returns_429_with_retry_after(shelf, tmp_path):
    shelf.add(1, seconds=0.2)
    with served(shelf, tmp_path, queue=2, batch_tokens=4) as server:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(server.post("/v1/classify", {"inputs": "a"})))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        codes = sorted(answer.status for answer in answers)
        assert set(codes) == {200, 429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status == 429)
        assert server.metric('glassformer_serving_rejected_total{reason="queue"}') == codes.count(429)


def test_requests_are_logged_only_when_enabled(shelf, tmp_path):
    for chosen, expected in (("", 0), ("answers", 1), ("bodies", 1)):
        with served(shelf, tmp_path, log_requests=chosen) as server:
            server.post("/v1/classify", {"inputs": "a secret"})
            assert len(server.told("serving.request")) == expected


def test_openapi_lists_the_paths_with_summaries_and_examples(server):
    told = server.get("/openapi.json").json()
    assert {"/invocations", "/v1/classify", "/v1/generate", "/v1/images", "/models", "/readyz", "/metrics"} <= set(
        told["paths"]
    )
    for path, methods in told["paths"].items():
        for method in methods.values():
            assert method["summary"], path
            content = method.get("requestBody", {}).get("content", {})
            assert all(form["examples"] for form in content.values()), path
