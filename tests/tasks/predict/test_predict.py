"""`python -m tasks.predict`: what it takes for an answer, how it shows it, and what it says to a wrong question."""

import csv
import io
import json
import re
import shutil
import sys
from types import SimpleNamespace

import pytest

import tests.small_corpus as small
from artifacts.checkpoint import Checkpoint
from models import devices
from tasks.causal_lm.task import TASK
from tasks.model import load_model
from tasks.predict import PredictError, checkpoint_lookup, inputs
from tasks.predict.__main__ import main


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def made(root):
    corpus = small.make_corpus(root, rows=90)
    inputs = {"corpus": corpus, "tokenizer": small.make_tokenizer(root, corpus)}
    language = small.train(root, "pretrain", inputs, task="causal_lm")
    return {"language": language, "classes": small.train(root, "finetune", inputs, from_scratch=True, max_updates=2)}


class Terminal(io.StringIO):
    """A text stream that says it is a terminal, and remembers what was written at a time."""

    def __init__(self, text=""):
        super().__init__(text)
        self.pieces = []

    def isatty(self):
        return True

    def reconfigure(self, **_):
        pass

    def write(self, text):
        self.pieces.append(text)
        return super().write(text)


@pytest.fixture
def asked(root, monkeypatch, capsys):
    """Run the command; exit code, lines of standard output, standard error."""
    monkeypatch.setenv("GLASSFORMER_HOME", str(root))

    def ask(*words, standard_input=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(standard_input))
        with pytest.raises(SystemExit) as ended:
            sys.exit(main([str(word) for word in words]))
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return ask


def expected(made, texts, **options):
    return TASK.predict(load_model(Checkpoint(made)), texts, **options)


def test_folder_digest_and_downloaded_model_give_same_answer(asked, made, tmp_path):
    language = made["language"]
    shutil.copytree(language.path, tmp_path / "model" / "artifacts" / "checkpoint")
    shutil.copytree(language.path, tmp_path / "plain")
    (tmp_path / "plain" / "manifest.json").unlink()
    answers = {
        asked(model, "the river", "--option", "max_new_tokens=5")
        for model in (language.path, language.digest[:9], tmp_path / "model", tmp_path / "plain")
    }
    ((code, out, err),) = answers
    assert (code, err) == (0, "")
    assert out == expected(language, ["the river"], max_new_tokens=5)["prediction"][0] + "\n"


def test_texts_files_and_stdin_lines_are_answered_as_json(asked, made, tmp_path):
    (tmp_path / "text.txt").write_text("cloud\ncopper", encoding="utf-8")
    options = {"method": "sample", "seed": 4, "max_new_tokens": 5}
    words = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    digest = made["language"].digest
    code, out, _ = asked(digest, *words, "--json", "a b", "--file", tmp_path / "text.txt")
    assert code == 0
    texts = ["a b", "cloud\ncopper"]
    wanted = expected(made["language"], texts, **options)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == texts
    assert [row["prediction"] for row in rows] == wanted["prediction"].tolist()
    assert [row["bytes"] for row in rows] == [3, 12]
    lines = [f"line {number}" for number in range(70)] + [""]  # more than are answered together
    code, out, _ = asked(digest, "--json", "--option", "max_new_tokens=1", standard_input="\n".join(lines) + "\n")
    assert [json.loads(line)["text"] for line in out.splitlines()] == lines


def test_terminal_output_is_streamed(asked, made, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    code, _, _ = asked(made["language"].digest, "the river", "--option", "max_new_tokens=9")
    assert code == 0
    assert terminal.getvalue() == expected(made["language"], ["the river"], max_new_tokens=9)["prediction"][0] + "\n"
    assert len(terminal.pieces) > 4
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert asked(made["classes"].digest, "apple orchard", "--format", "text")[0] == 0
    assert terminal.getvalue() in ("a\n", "b\n", "c\n"), "a label comes whole"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{digest}", "x", "--option", "top=1"], "options of causal_lm: top: .*; its options: method"),
        (["{digest}", "x", "--option", "beams"], "--option beams: write name=value"),
        (["{digest}", "x", "--option", "temperature=hot"], "temperature: .*valid number"),
        (["{digest}", "--file", "nowhere.txt"], "nowhere.txt: No such file"),
        (["{digest}", "--what"], "unrecognized arguments: --what; known: .*; see python -m tasks.predict --help"),
        ([], "required: MODEL"),
        (["ffffffff", "x"], "no checkpoint in .* has such a digest; give the folder"),
        (["nowhere", "x"], "nowhere: no such folder; give the folder of a checkpoint"),
        (["runs:/ab/model", "x"], "mlflow artifacts download --artifact-uri runs:/ab/model"),
        (["{digest}", "--rows", "nowhere.csv"], "nowhere.csv: No such file"),
        (["{digest}", "--rows", "rows.txt"], "rows.txt: (No such file|give a .csv or a .jsonl)"),
        (["{digest}", "x", "--format", "xml"], "invalid choice: 'xml'"),
        (["{folder}", "x"], "no checkpoint .it has no manifest.json"),
    ],
)
def test_invalid_arguments_give_one_line_error(asked, made, tmp_path, words, told):
    filled = [word.format(digest=made["language"].digest, folder=tmp_path) for word in words]
    code, out, err = asked(*filled)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("tasks.predict: ")
    assert re.search(told, err), err


def test_non_utf8_text_and_damaged_checkpoint_are_reported(asked, made, tmp_path):
    (tmp_path / "latin.txt").write_bytes("na\xefve".encode("latin-1"))
    code, _, err = asked(made["language"].digest, "--file", tmp_path / "latin.txt")
    assert code == 2
    assert "latin.txt: not UTF-8: invalid continuation byte at byte 2" in err
    broken = tmp_path / "broken"
    shutil.copytree(made["language"].path, broken)
    (broken / "weights.safetensors").write_bytes(b"no weights")
    code, _, err = asked(broken, "x")
    assert code == 1
    assert "weights.safetensors: changed since it was made" in err


def test_ambiguous_digest_prefix_is_refused(asked, made, root, tmp_path, monkeypatch):
    (tmp_path / "artifacts" / "checkpoint").mkdir(parents=True)
    for number, artifact in enumerate(made.values()):  # as if both digests began so
        folder = tmp_path / "artifacts" / "checkpoint" / f"abcdef01-{number}"
        shutil.copytree(artifact.path, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"digest": f"abcdef01{number}"}))
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path))
    assert main(["abcdef01", "x"]) == 2
    monkeypatch.setenv("GLASSFORMER_HOME", str(root))


def test_image_questions_are_read_from_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    path = str(tmp_path / "a.png")
    assert inputs.questions_from([path], [path], "image") == [inputs.Question(b"\x89PNG", path)] * 2
    assert list(inputs.lines(io.StringIO(f"{path}\n"), "image", 64)) == [[inputs.Question(b"\x89PNG", path)]]
    with pytest.raises(PredictError, match=r"nowhere\.png: No such file"):
        inputs.questions_from(["nowhere.png"], [], "image")


ROWS = ["apple orchard", "", "river, boat", 'a "quoted" text', "x" * 300, "two\nlines"]


@pytest.fixture
def rows(tmp_path):
    """The same rows as CSV and as JSONL."""
    with (tmp_path / "rows.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([str(number), text] for number, text in enumerate(ROWS))])
    lines = [
        json.dumps({"text": text, "id": 1}) if number % 2 else json.dumps(text) for number, text in enumerate(ROWS)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_rows_of_file_are_answered_in_each_format(asked, made, rows, name):
    digest, expected_answers = made["classes"].digest, []
    code, out, err = asked(digest, "--rows", rows / name, "--format", "json", "--option", "top_k=2")
    assert code == 0
    assert "1 of 6 texts are longer than the model reads" in err
    as_json = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in as_json] == ROWS
    assert [row["truncated"] for row in as_json] == [False] * 4 + [True, False]
    for text in ROWS:
        expected_answers += [json.loads(asked(digest, text, "--json")[1])]
    for row, alone in zip(as_json, expected_answers, strict=True):
        assert row["prediction"] == alone["prediction"]
        assert row["probability"] == pytest.approx(alone["probability"], abs=1e-4)
        assert row["top"][0]["label"] == row["prediction"]
    code, out, _ = asked(digest, "--rows", rows / name, "--format", "csv")
    as_csv = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["text"] for row in as_csv] == ROWS
    assert [row["prediction"] for row in as_csv] == [row["prediction"] for row in as_json]
    assert [int(row["tokens_read"]) for row in as_csv] == [row["tokens_read"] for row in as_json]
    code, out, _ = asked(digest, "--rows", rows / name)
    header, *lines = out.splitlines()
    assert header.split() == ["text", "prediction", "probability"]
    assert [line.split()[-2:] for line in lines] == [
        [row["prediction"], f"{row['probability']:.4f}"] for row in as_json
    ]
    assert asked(digest, "--rows", rows / name, "--format", "text")[1].splitlines() == [
        row["prediction"] for row in as_json
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "text\nReturn, the sum\n", "a.csv: row 1 has 2 cells"),
        ("a.csv", "texts\nReturn\n", "a.csv: the model needs the column 'text'; the header names 'texts'"),
        ("a.csv", 'text\n"open\n', "a.csv: row 1: a quotation mark is not closed"),
        ("a.csv", "text\n", "a.csv: no rows"),
        ("a.jsonl", '"one"\n{"text": 3}\n', "a.jsonl: line 2 has no text"),
        ("a.jsonl", '"one"\n{"tex": "x"}\n', "a.jsonl: line 2 has no text"),
        ("a.jsonl", '"one"\n{\n', "a.jsonl: line 2 is not JSON"),
        ("a.txt", "one\n", "a.txt: give a .csv or a .jsonl"),
    ],
)
def test_invalid_rows_file_gives_one_line_error(asked, made, tmp_path, name, content, told):
    (tmp_path / name).write_text(content, encoding="utf-8")
    code, out, err = asked(made["classes"].digest, "--rows", tmp_path / name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


def test_registered_version_is_fetched_by_subprocess(asked, made, tmp_path, monkeypatch):
    """`deploy.fetch` prints the folder; its one line and its exit code are passed on."""
    folder, told = tmp_path / "model", []
    shutil.copytree(made["classes"].path, folder / "artifacts" / "checkpoint")

    def ran(command, **options):
        told.append(command[-1])
        name = command[-1].removeprefix("models:/")
        code = {"away@champion": 75, "none@champion": 1}.get(name, 0)
        return SimpleNamespace(
            returncode=code, stdout=f"{folder}\n", stderr=f"a warning\ndeploy.fetch: {name} is not there\n"
        )

    monkeypatch.setattr(checkpoint_lookup.subprocess, "run", ran)
    assert asked("models:/docs@champion", "apple", "--format", "text")[0] == 0
    assert asked("models:/docs/3", "apple")[0] == 0
    assert asked("models:/away@champion", "apple")[::2] == (75, "tasks.predict: away@champion is not there\n")
    assert asked("models:/none@champion", "apple")[0] == 1
    assert told == ["models:/docs@champion", "models:/docs/3", "models:/away@champion", "models:/none@champion"]


def test_lower_precision_is_near_and_absent_device_one_line(asked, made, monkeypatch):
    monkeypatch.setattr(devices, "cuda_capability", lambda: None)
    words = (made["classes"].digest, "apple orchard", "--json")
    plain, near = (json.loads(asked(*words, *more)[1]) for more in ((), ("--precision", "bfloat16")))
    assert plain["probability"] == pytest.approx(near["probability"], abs=0.02)
    assert plain["probability"] != near["probability"], "float32 after all"
    code, out, err = asked(*words, "--device", "cuda")
    assert (code, out) == (2, "")
    assert err.startswith("tasks.predict: --device cuda --precision auto: no CUDA device found; check `nvidia-smi`")
