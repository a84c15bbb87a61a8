"""Docstrings without their name, each with the words of that name: which documentation does somebody look for by it?

The query of `numpy/linalg/_linalg.py`, `matrix_norm` is `linalg matrix norm`: module and qualified name as words, without
any library's name. In the docstring its own name is replaced, everywhere where it can only be a name (`matrix_norm`), and
an ordinary word (`norm`) where it stands as code; else the name would be found by itself. What is left is to know which
words speak of the same: `ifft` and an inverse transform.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from steps.prepare_data import docstrings
from steps.prepare_data.rows import Row

if TYPE_CHECKING:
    from telemetry import Observe

OWN = "this"  # stands for the name of what is documented
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")  # of `HTTPServer2_main`: HTTP, Server, 2, main
_FEWEST = 2  # words of a query; a single one could mean anything


def read(chosen: str, workers: int, observe: Observe) -> Iterator[Row]:
    """Every public docstring with its query, in the order of library, file and line.

    Groups are those of the source `docs`: with the same seed and shares a module is in the same split of both.
    """
    for library, file, found in docstrings.of_files(public_docstrings, chosen, workers, observe):
        label = library if library in docstrings.LABELLED else None
        for name, line, text in found:
            words = query(file, name)
            if len(words) >= _FEWEST:
                yield Row(f"{file}:{line}:{name}", text, label, file, target=" ".join(words))


def public_docstrings(path: str) -> list[tuple[str, int, str]]:
    """Qualified name, line and docstring of everything with a public name; names are removed from the text."""
    tree = docstrings.parse_file(path)
    found = []
    for name, node, text in docstrings.walk_docstrings(tree, "") if tree else []:
        own = name.rpartition(".")[2]
        if hasattr(node, "name") and not own.startswith("_"):
            found.append((name, int(getattr(node, "lineno", 1)), without(docstrings.mask_names(text), own)))
    return found


def query(file: str, name: str) -> list[str]:
    """The words of a module's last part and of a qualified name, each once, without any library's name."""
    *folders, module = file.removesuffix(".py").split("/")
    if module == "__init__":
        module = folders[-1] if folders else ""
    words = [word.lower() for part in (module, *name.split(".")) for word in _PARTS.findall(part)]
    known = docstrings.mask_names(" ".join(dict.fromkeys(words))).split()
    return [word for word in known if word != docstrings.MASK]


def without(text: str, own: str) -> str:
    """The text with its own name replaced."""
    word = rf"\b{re.escape(own)}\b"
    is_a_word = own.islower() and own.isalpha()
    return re.sub(rf"(?<=[.`]){word}|{word}(?=[(`])" if is_a_word else word, OWN, text)
