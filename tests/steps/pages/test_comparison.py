"""The frame of the page that compares runs: nothing of its text is executed."""

import base64
import hashlib
import re

from steps.pages.comparison import Section, render, style


def test_page_executes_its_own_script_alone():
    evil = "</script><script>alert(1)</script>"
    training = {"node": evil, "runs": [0], "curves": {}, "band": None, "not_finite": []}
    page = render(
        summary=evil, note=evil, runs=[evil], axes={"updates": evil}, titles={"training.loss": evil}, trainings=[training],
        sections=[Section(evil, evil, [evil, evil], [[evil, evil]])], footer=evil,
    )  # fmt: skip
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 2, "the data and the script"
    digest = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "alert(1)" not in scripts[1]


def test_every_run_of_sixteen_has_a_style_of_its_own():
    assert len({style(place) for place in range(16)}) == 16
