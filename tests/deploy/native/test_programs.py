"""Choice of a program: one on PATH of a fitting version, else one that is built once."""

import os
import stat
import threading
from pathlib import Path

import pytest

import deploy.native.__main__ as native
from deploy.native import programs
from deploy.native.programs import Program, StackError

LOKI = Program("loki", "3", "loki", "github.com/grafana/loki/v3/cmd/loki")


def script(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def only(tmp_path, monkeypatch):
    """A PATH of our own, an empty cache, and a module folder of our own."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root" / "deploy" / "native"
    (root / "loki").mkdir(parents=True)
    (root / "loki" / "go.mod").write_text("module x\n")
    (root / "loki" / "go.sum").write_text("")
    monkeypatch.setattr(programs, "HERE", root)
    return tmp_path


@pytest.mark.parametrize(
    ("told", "fits"),
    [
        ("loki, version 3.7.8 (branch: x)", True),
        ("loki, version v3.0.0", True),
        ("loki, version 2.9.1", False),
        ("loki, version  (branch: , revision: )", True),
        ("?", False),
    ],
)
def test_a_program_on_path_is_used_when_its_version_fits(only, told, fits):
    installed = script(only / "bin", "loki", f"echo '{told}'")
    assert LOKI.on_path() == (installed if fits else None)


def test_program_is_built_once_and_rebuilt_when_its_module_changes(only):
    script(only / "bin", "go", 'while [ "$1" != -o ]; do shift; done; echo built >> ../../builds; echo x > "$2"')
    said = []
    first = LOKI.path(said.append)
    assert first.is_file()
    assert LOKI.path(said.append) == first
    assert len(said) == 2, "building, built"
    (programs.HERE / "loki" / "go.sum").write_text("changed\n")
    second = LOKI.path(said.append)
    assert second != first
    (programs.HERE / "loki" / "main.go").write_text("package main\n")
    assert LOKI.path(said.append) not in (first, second)


def test_concurrent_builds_build_once_and_the_second_reports_waiting(only):
    seconds_wait = programs.HERE.parent / "seconds-wait"  # the first build ends when the second has said so
    script(
        only / "bin",
        "go",
        'while [ "$1" != -o ]; do shift; done; echo built >> ../../builds\n'
        f'until [ -e "{seconds_wait}" ]; do sleep 0.01; done; echo x > "$2"',
    )
    found, said = [], []

    def say(message):
        said.append(message)
        if "another process" in message:
            seconds_wait.touch()

    both = [threading.Thread(target=lambda: found.append(LOKI.path(say))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert found[0] == found[1]
    assert (programs.HERE.parent / "builds").read_text() == "built\n"
    assert sorted(message.split(":")[1].split()[0] for message in said) == ["another", "building", "built"]


def test_build_command_builds_missing_programs_and_starts_nothing(only, monkeypatch, capsys):
    script(only / "bin", "go", 'while [ "$1" != -o ]; do shift; done; echo x > "$2"')
    monkeypatch.setattr(native, "PROGRAMS", {"loki": LOKI, "tempo": Program("tempo", "3")})
    monkeypatch.setenv("GLASSFORMER_HOME", str(only / "home"))
    monkeypatch.setattr("sys.argv", ["deploy.native", "build"])
    assert native.main() == 0
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == "loki"
    assert Path(last[1]).is_file()
    assert not (only / "home" / "stack").exists()


def test_failed_build_reports_the_reason_and_leaves_no_files(only):
    script(only / "bin", "go", "echo 'module graph clashes' >&2; exit 1")
    with pytest.raises(StackError, match="loki could not be built:\nmodule graph clashes"):
        LOKI.path(lambda message: None)
    assert [path for path in (only / "cache").rglob("*") if path.is_file()] == []


def test_committed_go_modules_pin_each_built_program():
    folder = programs.Path(programs.__file__).parent
    built = [program for program in programs.PROGRAMS.values() if program.module]
    assert {program.name for program in programs.PROGRAMS.values()} - {one.name for one in built} == {
        "tempo",
        "grafana",
    }
    for program in built:
        assert program.package in (folder / program.module / "go.mod").read_text()
        assert (folder / program.module / "go.sum").stat().st_size > 0
