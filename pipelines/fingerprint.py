"""A node's fingerprint: everything that its result can depend on, and, for a miss, what of it changed.

Parts: `code` (file -> hash), `parameters`, `inputs` (field -> digest of the artifact's content), `files` (the user's
own, path -> sha256), `packages` (name -> version), `python`. Two nodes with equal parts have equal results, so the
second is a cache hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifacts import atomic, open_artifact
from artifacts.errors import UserError
from artifacts.file_hashes import FileHashes
from artifacts.home import home
from pipelines import code
from pipelines.environment import installed_packages, packages, python_version
from pipelines.graph import Node
from steps.step import load_step

Parts = dict[str, Any]
_MISSING = object()


@dataclass
class Environment:
    """State shared by all nodes of a plan, read once: packages, Python, and the hashes of the user's files."""

    packages: dict[str, str] = field(default_factory=packages)
    installed: dict[str, str] = field(default_factory=installed_packages)
    python: str = field(default_factory=python_version)
    root: Path = field(default_factory=home)
    hashes: FileHashes = field(init=False)

    def __post_init__(self) -> None:
        self.hashes = FileHashes.of(self.root)

    def hash_of(self, path: Path) -> str:
        """sha256 of a file of the user's; UserError if it cannot be read."""
        try:
            return self.hashes.sha256(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; check the source", 2) from None


def parts_of(node: Node, inputs: Mapping[str, str | None], environment: Environment) -> Parts:
    """The parts of a node's fingerprint; `inputs` maps each input to its digest, None while that is not known."""
    config, step = node.config_with(dict.fromkeys(node.inputs, "-")), load_step(node.step)
    files = {str(path): environment.hash_of(path) for path in step.files(config)}
    environment.hashes.keep()
    # An artifact that is named by its folder, and made by no node of this pipeline.
    parts = {
        name: open_artifact(folder, kind, check=False).digest
        for name, (folder, kind) in config.given_inputs().items()
        if name not in inputs
    }
    data_packages = {name: environment.installed.get(name, "not installed") for name in step.packages(config)}
    return {
        "code": code.closure(step.modules(config), config),
        "parameters": config.result_parameters(),
        "inputs": {**inputs, **parts},
        "files": files,
        "packages": {**environment.packages, **data_packages},
        "python": environment.python,
    }


def fingerprint(name: str, parts: Parts) -> str | None:
    """Hex SHA-256 over the step and its parts; None while the digest of an input is not known."""
    if None in parts["inputs"].values():
        return None
    return atomic.digest_of([name, parts])


def differences(node: Node, old: Mapping[str, Any], new: Parts) -> list[str]:
    """The differences between two fingerprints' parts, one sentence each, the most informative first."""
    reasons = [
        f"parameter {node.id}.{name}: {_as_text(before)} -> {_as_text(after)}"
        for name, before, after in _changes(old["parameters"], new["parameters"])
    ]
    reasons += [f"code {file}: {_change(before, after)}" for file, before, after in _changes(old["code"], new["code"])]
    reasons += [
        f"file {file}: {_change(before, after)}" for file, before, after in _changes(old["files"], new["files"])
    ]
    reasons += [
        f"package {name}: {_as_text(before)} -> {_as_text(after)}"
        for name, before, after in _changes(old["packages"], new["packages"])
    ]
    if old["python"] != new["python"]:
        reasons.append(f"python: {old['python']} -> {new['python']}")
    reasons += [
        f"input {name}: {_short_digest(before)} -> {_short_digest(after)}"
        for name, before, after in _changes(old["inputs"], new["inputs"])
        if after is not None
    ]
    return reasons


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted({*old, *new})
    pairs = [(name, old.get(name, _MISSING), new.get(name, _MISSING)) for name in names]
    return [(name, before, after) for name, before, after in pairs if before != after]


def _as_text(value: Any) -> str:
    return "(none)" if value is _MISSING else str(value) if value != "" else "(empty)"


def _short_digest(value: Any) -> str:
    return "(none)" if value is _MISSING else str(value)[:12]


def _change(before: Any, after: Any) -> str:
    return "new" if before is _MISSING else "gone" if after is _MISSING else "changed"
