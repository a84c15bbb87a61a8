"""The audit of the lock, against a database of a test's own: a planted advisory is found, and one that is away is told from none."""

import json
from pathlib import Path

import pytest

from deploy import audit
from tests.tracking_server import server

SHA = "0" * 64
LOCK = f"""# of a test
fine==1.0 \\
    --hash=sha256:{SHA}
fine==0.9 ; python_version < "3.11" \\
    --hash=sha256:{SHA}
weak-thing==2.0.1 ; python_version >= "3.11" \\
    --hash=sha256:{SHA} \\
    --hash=sha256:{"1" * 64}
    # via fine
"""
ADVISORY = {
    "id": "GHSA-test-0000-0001", "aliases": ["CVE-2099-1234"], "summary": "planted", "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [{
        "package": {"name": "weak-thing", "ecosystem": "PyPI"}, "versions": ["2.0.1"],
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0.2"}]}],
    }],
}  # fmt: skip


@pytest.fixture
def lock(tmp_path):
    (tmp_path / "requirements.lock").write_text(LOCK)
    return tmp_path / "requirements.lock"


def osv(asked):
    """Answers as OSV does: the advisory for the package it is of."""
    package = json.loads(asked.bodies[-1])["package"]["name"]
    return 200, {}, json.dumps({"vulns": [ADVISORY]} if package == "weak-thing" else {})


def run(lock, answer, capsys, *more):
    with server(answer) as asked:
        code = audit.main(["--lock", str(lock), "--database", f"{asked.uri}/v1/query", *more])
    return code, capsys.readouterr(), asked


def test_a_planted_advisory_is_found(lock, capsys):
    code, printed, asked = run(lock, osv, capsys)
    assert code == 1
    first, last = printed.out.splitlines()
    assert first == "weak-thing 2.0.1: CVE-2099-1234, GHSA-test-0000-0001; fixed in 2.0.2"
    assert "3 packages compared" in last
    assert "1 have a known weakness" in last
    said = [json.loads(body) for body in asked.bodies]
    assert sorted((one["package"]["name"], one["version"]) for one in said) == [
        ("fine", "0.9"),
        ("fine", "1.0"),
        ("weak-thing", "2.0.1"),
    ]
    assert run(lock, osv, capsys, "--ignore", ADVISORY["id"])[0] == 0


def test_lock_without_known_weaknesses_passes(lock, capsys):
    code, printed, _ = run(lock, lambda asked: (200, {}, "{}"), capsys)
    assert code == 0
    assert printed.out.endswith(": no known weakness\n")


@pytest.mark.parametrize("answer", [(500, {}, "down"), (200, {}, "<html>"), (403, {}, "{}")])
def test_database_error_is_not_reported_as_a_clean_lock(answer, lock, capsys):
    code, printed, _ = run(lock, lambda asked: answer, capsys)
    assert code == 75
    assert "nothing was compared" in printed.err
    assert len(printed.err.splitlines()) == 1


def test_unreachable_database_fails_with_one_line(lock, capsys):
    assert audit.main(["--lock", str(lock), "--database", "http://127.0.0.1:9/v1/query"]) == 75
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "http://127.0.0.1:9/v1/query does not answer" in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("numpy\n", "numpy has no version with digests"),
        ("numpy==1.0\n", "numpy has no version"),
        ("numpy>=1 --hash=sha256:0\n", "numpy"),
        ("# nothing\n", "names no package"),
        ("]]] what\n", "line 1 is no requirement"),
    ],
)
def test_invalid_lock_is_refused_with_the_reason(text, told, tmp_path, capsys):
    (tmp_path / "lock").write_text(text)
    assert audit.main(["--lock", str(tmp_path / "lock")]) == 2
    assert told in capsys.readouterr().err


def test_missing_lock_is_an_error(capsys):
    assert audit.main(["--lock", "/nowhere/requirements.lock"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_makefile_runs_the_audit_and_the_sbom():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert "-m deploy.audit" in makefile
    assert "-m deploy.sbom" in makefile
