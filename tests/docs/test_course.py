"""The course and the page on attention: what they tell people to type works, and prints what they say it prints.

Blocks marked `quick` are run, here and in this process; of those marked `slow`, pipelines are planned and programs are asked
whether they know the options. Each line of a `text` block must be in what the page's quick blocks above it have printed.
"""

import contextlib
import importlib.util
import io
import re
import shlex
import sys
from dataclasses import dataclass

import pytest

from artifacts.home import CHECKOUT
from models import presets

PAGES = [CHECKOUT / "docs" / "attention.md", *sorted((CHECKOUT / "docs" / "course").glob("*.md"))]
NAMES = [str(page.relative_to(CHECKOUT / "docs")) for page in PAGES]
_BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    kind: str  # "sh quick", "python quick", "sh slow", "text"
    content: str

    def commands(self):
        return [shlex.split(line) for line in self.content.splitlines()]


def blocks(page):
    return [Block(*found) for found in _BLOCK.findall((CHECKOUT / "docs" / page).read_text())]


def slow_commands():
    return [
        (page, words)
        for page in NAMES
        for block in blocks(page)
        if block.kind == "sh slow"
        for words in block.commands()
    ]


def program(module):
    """The file that `python -m MODULE` runs."""
    found = importlib.util.find_spec(module)
    assert found, f"no module {module}"
    return importlib.import_module(f"{module}.__main__" if found.submodule_search_locations else module)


def printed(words):
    """Run `python -m MODULE ARGUMENTS` in this process: a process each would cost seconds."""
    assert words[:2] == ["python", "-m"], words
    out, told, before, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = words[2:]
    try:
        with contextlib.redirect_stdout(_Stream(out)), contextlib.redirect_stderr(_Stream(told)):
            code = program(words[2]).main()
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = before
    assert not code, f"{shlex.join(words)}: {told.getvalue()}"
    return out.getvalue()


class _Stream(io.TextIOWrapper):
    """A text stream as a process has it, so that what programs ask of theirs is there."""

    def __init__(self, target):
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self.target = target

    def write(self, text):
        return self.target.write(text)


def run_quickly(block, namespace):
    if block.kind == "sh quick":
        return "".join(printed(words) for words in block.commands())
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block.content, "page", "exec"), namespace)
    return out.getvalue()


def squeezed(text):
    """Without differences of white space, and without the lines that a tree is drawn with."""
    return " ".join(re.sub("[│├└─]", " ", text).split())


@pytest.mark.parametrize("page", NAMES)
def test_code_blocks_have_known_markers(page):
    assert {block.kind for block in blocks(page)} <= {"sh quick", "sh slow", "python quick", "text"}
    for block in blocks(page):
        if block.kind.startswith("sh"):
            assert all(words[:2] == ["python", "-m"] for words in block.commands())


@pytest.mark.parametrize("page", NAMES)
def test_quick_commands_print_the_output_shown_on_the_page(page, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "118")
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)  # pictures that it draws
    monkeypatch.syspath_prepend(str(CHECKOUT))
    lines, namespace = set(), {}
    for block in blocks(page):
        if block.kind.endswith("quick"):
            lines |= {squeezed(line) for line in run_quickly(block, namespace).splitlines()}
        elif block.kind == "text":
            for line in map(squeezed, block.content.splitlines()):
                assert line == "…" or any(line in known for known in lines), f"{page}: not printed: {line}"


@pytest.mark.parametrize(("page", "words"), slow_commands())
def test_slow_commands_can_be_planned_or_have_valid_options(page, words, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if words[2:4] == ["pipelines", "run"]:
        told = printed([*words, "--dry-run"])
        assert "MISS" in told
        return
    known = printed([*words[:3], "--help"])
    for option in [word for word in words if word.startswith("--")]:
        assert option in known, (page, words)


@pytest.mark.parametrize("page", NAMES)
def test_files_links_and_presets_named_on_a_page_exist(page):
    text = (CHECKOUT / "docs" / page).read_text()
    folder = (CHECKOUT / "docs" / page).parent
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (folder / link).exists(), link
    prose = _BLOCK.sub("", text)
    for path in re.findall(r"`((?:models|tasks|training|docs|steps)/[\w./-]+)`", prose):
        assert (CHECKOUT / path).exists(), path
    for listed in re.findall(r"[Pp]resets? ((?:`[\w-]+`(?:, | and )?)+)", prose):
        assert set(re.findall(r"`([\w-]+)`", listed)) <= set(presets.available()), listed


def test_the_index_names_every_page():
    index = (CHECKOUT / "docs" / "course" / "README.md").read_text()
    for page in (CHECKOUT / "docs" / "course").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index
