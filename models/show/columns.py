"""The same part of the network in each framework, side by side: the columns of docs/frameworks.md, taken from the files.

python -m models.show.columns            write the page anew
python -m models.show.columns --check    exit 1 when it is not what the files say
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from models.devices import FRAMEWORKS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "frameworks.md"
# Part -> of each framework a file, and a function or method in it.
PARTS = {
    "attention": {
        "torch": ("models/torch/attention.py", "plain_weights"),
        "flax": ("models/flax/attention.py", "attention_weights"),
        "tensorflow": ("models/tensorflow/attention.py", "attention_weights"),
    },
    "layer": {
        "torch": ("models/torch/encoder.py", "EncoderLayer.forward"),
        "flax": ("models/flax/encoder.py", "EncoderLayer.__call__"),
        "tensorflow": ("models/tensorflow/encoder.py", "EncoderLayer.__call__"),
    },
    "update": {
        "torch": ("training/torch/backend.py", "TorchBackend.update"),
        "flax": ("training/flax/backend.py", "FlaxBackend.update"),
        "tensorflow": ("training/tensorflow/backend.py", "TensorFlowBackend.update"),
    },
}


def main() -> int:
    """Write the page, or check it. Returns the exit code."""
    wanted = fill(PAGE.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        return int(wanted != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def fill(page: str) -> str:
    """The page with the columns as the files have them."""
    for part in PARTS:
        begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{columns(part)}\n{end}{rest.partition(end)[2]}"
    return page


def columns(part: str) -> str:
    """A part as a table of three columns, in Markdown's HTML."""
    cells = [
        f"<td valign=top>\n\n[`{file}`](../{file})\n\n```python\n{source(file, name)}\n```\n\n</td>"
        for file, name in PARTS[part].values()
    ]
    heads = "".join(f"<th>{FRAMEWORKS[framework]}</th>" for framework in PARTS[part])
    return f"<table><tr>{heads}</tr><tr>\n" + "\n".join(cells) + "\n</tr></table>"


def source(file: str, name: str) -> str:
    """A function of a file, by `function` or `Class.method`, without its docstring."""
    text = (ROOT / file).read_text(encoding="utf-8")
    body: list[ast.stmt] = ast.parse(text).body
    for word in name.split("."):
        found = next(one for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == word)
        body = found.body
    lines = text.splitlines()
    first, indent = body[0], found.col_offset
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    kept = [
        line
        for number, line in enumerate(lines[found.lineno - 1 : found.end_lineno], found.lineno)
        if not (documented and first.lineno <= number <= (first.end_lineno or 0))
    ]
    return "\n".join(line[indent:] for line in kept)


if __name__ == "__main__":
    sys.exit(main())
