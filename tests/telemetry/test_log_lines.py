import io
import json
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import sanitize
from telemetry.log_lines import Lines

ABOUT = {"pipeline": "docs", "run": "r1", "step": "pretrain", "node": "pretrain"}
IDS = {"trace_id": "a" * 32, "span_id": "b" * 16}
NOW = 1_700_000_000_123_456_789


def written(
    message: str,
    *,
    about: dict[str, str] = ABOUT,
    form: str = "json",
    terminal: bool = False,
    level: str = "info",
    **fields: Any,
) -> str:
    stream = io.StringIO()
    lines = Lines(None, about, terminal, stream, form)
    lines.write("step.started", message, level, fields, IDS, NOW)
    return stream.getvalue()


def test_record_is_one_complete_json_object() -> None:
    assert json.loads(written("hello", rows=3, nested={"a": [1]})) == {
        "time": "2023-11-14T22:13:20.123Z", "level": "info", "event": "step.started", "message": "hello",
        **ABOUT, **IDS, "rows": 3, "nested": {"a": [1]},
    }  # fmt: skip


def test_control_characters_do_not_split_a_record_into_two_lines() -> None:
    message = "a\nb\r\x1b[31mred\x00\x85\u2028\u2029\x9b31m\x7f"
    line = written(message)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x9b" not in line
    assert json.loads(line)["message"] == message


@given(message=st.text(), value=st.text())
@settings(max_examples=50)
def test_any_text_is_one_line_in_json_and_readable_format(message: str, value: str) -> None:
    message, fields = sanitize.text(message), sanitize.fields({"value": value})
    shown = written(message, **fields)
    assert len(shown.splitlines()) == 1
    assert json.loads(shown)["message"] == message
    readable = written(message, form="auto", terminal=True, **fields)
    assert len(readable.splitlines()) == 1
    assert "\x1b" not in readable


def test_fields_cannot_overwrite_built_in_record_keys() -> None:
    found = json.loads(written("m", level="warning", run="other", trace_id="forged", time="never", msg="x", args="y"))
    assert (found["run"], found["trace_id"], found["message"]) == ("r1", "a" * 32, "m")
    assert found["time"].startswith("2023")
    assert (found["run_"], found["trace_id_"], found["time_"], found["msg_"]) == ("other", "forged", "never", "x")


def test_driver_record_takes_its_node_from_the_fields() -> None:
    found = json.loads(written("m", about={**ABOUT, "node": ""}, node="finetune"))
    assert found["node"] == "finetune"
    assert "node_" not in found


def test_terminal_output_is_a_readable_line() -> None:
    line = written("trained\tin 3 s", form="auto", terminal=True)
    assert line.endswith("pretrain         trained\\tin 3 s\n")
    assert not line.startswith("{")


def test_output_without_a_terminal_is_readable_and_has_no_colours() -> None:
    assert written("trained", form="auto").endswith("pretrain         trained\n")
    assert written("odd", form="auto", level="warning").endswith("pretrain         warning: odd\n")
    assert "\x1b" not in written("odd", form="auto", level="warning")
    assert written("odd", form="text", terminal=True, level="error").endswith("pretrain         error: odd\n")
    assert written("odd", form="auto", terminal=True, level="error").startswith("\x1b[31m")


def test_log_format_is_read_from_the_environment(monkeypatch: Any) -> None:
    for form, json_given in (("json", True), ("text", False), ("", False), ("unknown", False)):
        monkeypatch.setenv("GLASSFORMER_LOG_FORMAT", form)
        stream = io.StringIO()
        Lines(None, ABOUT, False, stream).write("step.started", "hello", "info", {}, IDS, NOW)
        assert stream.getvalue().startswith("{") is json_given


def test_log_file_gets_json_including_hidden_records(tmp_path: Path) -> None:
    stream = io.StringIO()
    lines = Lines(tmp_path / "logs" / "a.jsonl", ABOUT, True, stream)
    lines.write("step.started", "quiet", "debug", {}, IDS, NOW, shown=False)
    lines.write("step.started", "loud é", "info", {}, IDS, NOW)
    lines.close()
    found = [json.loads(line)["message"] for line in (tmp_path / "logs" / "a.jsonl").read_text().splitlines()]
    assert found == ["quiet", "loud é"]
    assert "quiet" not in stream.getvalue()


def test_unopenable_log_file_is_reported_and_console_output_continues(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    lines = Lines(tmp_path / "file" / "a.jsonl", ABOUT, False)
    lines.write("step.started", "hello", "info", {}, IDS, NOW)
    shown = capsys.readouterr().err
    assert "no log file" in shown
    assert "pretrain         hello" in shown


def test_closed_standard_error_does_not_stop_logging(tmp_path: Path) -> None:
    stream = io.StringIO()
    lines = Lines(tmp_path / "a.jsonl", ABOUT, False, stream)
    stream.close()
    lines.write("step.started", "hello", "info", {}, IDS, NOW)
    lines.close()
    assert "hello" in (tmp_path / "a.jsonl").read_text()


def test_log_line_is_written_above_the_progress_bar(monkeypatch: Any) -> None:
    import tqdm

    said: list[str] = []
    monkeypatch.setattr(tqdm.tqdm, "write", lambda text, file: said.append(text))
    assert "tqdm" in sys.modules
    assert written("beside a bar", form="auto", terminal=True) == ""
    assert said[0].endswith("beside a bar")
