"""Resolves aliases and keeps the files of versions on this disk, so that the last served version survives an outage of the registry.

<home>/serving/<model>/<number>/          a version's files, as MLflow gives them
<home>/serving/<model>/<number>.json      its entry in the registry
<home>/serving/<model>/served.json        the version that answered last
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic, model_files
from deploy.serving import ServingError, VersionError, check_name
from deploy.serving.version import RegisteredVersion
from redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KEPT = 4  # versions of which files stay on this disk


class AwayError(ServingError):
    """The registry does not answer."""


class Registry:
    """One registered model. Its methods block: they are called in threads."""

    def __init__(self, name: str, folder: Path, connect: Callable[[], MlflowClient]) -> None:
        check_name(name)
        self.name, self._folder, self._connect = name, folder / name, connect
        self._client: MlflowClient | None = None

    def aliases(self, wanted: Sequence[str]) -> dict[str, str]:
        """The version of each of these aliases that the model has. AwayError; ServingError if there is no such model."""
        gone = ServingError(
            f"{self.name}: no such model in the registry; run its pipeline first (`make run` makes glassformer-docs)"
        )
        with self._connection(gone) as client:
            aliases_by_name = client.get_registered_model(self.name).aliases
        return {alias: str(aliases_by_name[alias]) for alias in wanted if alias in aliases_by_name}

    def fetch(self, number: str) -> RegisteredVersion:
        """A version with its files here. AwayError; VersionError if its files cannot be served."""
        known = self._describe(number)
        if model_files.missing(known.folder) or known.changed_parts():
            self._download(known)
        return known

    def last(self) -> RegisteredVersion | None:
        """The version that answered last on this disk."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            number = str(atomic.read_json(self._folder / "served.json")["number"])
            record: Mapping[str, Any] = atomic.read_json(self._folder / f"{number}.json")
            known = RegisteredVersion(**{**record, "folder": self._folder / number})
            return known if known.folder.is_dir() else None
        return None

    def remember(self, known: RegisteredVersion, loaded: Collection[str]) -> None:
        """Keep that a version answers now; files of versions long gone are removed, but for those that are loaded."""
        atomic.write_json(self._folder / "served.json", {"number": known.number})
        numbers = sorted((int(path.stem) for path in self._folder.glob("[0-9]*.json")), reverse=True)
        for number in [number for number in numbers if str(number) not in loaded][_KEPT:]:
            shutil.rmtree(self._folder / str(number), ignore_errors=True)
            (self._folder / f"{number}.json").unlink(missing_ok=True)

    @contextmanager
    def _connection(self, gone: ServingError) -> Iterator[MlflowClient]:
        """The client. Raises `gone` if the registry does not know the item, AwayError if it does not answer."""
        try:
            self._client = self._client or self._connect()
            yield self._client
        except Exception as error:  # MLflow's, the network's and the database's errors are of every kind
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                raise gone from None
            raise AwayError(_line(error)) from None

    def _describe(self, number: str) -> RegisteredVersion:
        with self._connection(VersionError("is not in the registry any more")) as client:
            version = client.get_model_version(self.name, number)
        if "glassformer.checkpoint" not in version.tags:
            raise VersionError("was not registered by Glassformer: its tags do not describe it")
        tags = {str(name): str(value) for name, value in version.tags.items()}
        made = float(version.creation_timestamp or 0) / 1000
        known = RegisteredVersion(self.name, number, version.run_id or "", tags, self._folder / number, made)
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic.write_json(self._folder / f"{number}.json", asdict(known) | {"folder": ""})
        return known

    def _download(self, known: RegisteredVersion) -> None:
        from mlflow import artifacts
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder) as work:
            try:
                uri = f"models:/{self.name}/{known.number}"
                into = Path(work) / "files"
                into.mkdir()
                folder = Path(artifacts.download_artifacts(uri, dst_path=str(into)))
            except (MlflowException, OSError) as error:
                raise VersionError(f"has files that cannot be read: {_line(error)}") from None
            except Exception as error:
                raise AwayError(_line(error)) from None
            shutil.rmtree(known.folder, ignore_errors=True)
            folder.rename(known.folder)


def _line(error: BaseException) -> str:
    return str(redact(" ".join(str(error).split())[:200]))
