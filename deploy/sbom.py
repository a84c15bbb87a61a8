"""Write a bill of materials of the lock: CycloneDX 1.6 as JSON, without a network.

examples:
  python -m deploy.sbom                     sbom.cdx.json of the checkout (make sbom)
  python -m deploy.sbom --to FILE

Each package with its version, the sha256 of each file that may be installed, and its licence and dependencies where it is installed
here. The same lock in the same environment gives the same bytes.
"""

from __future__ import annotations

import json
import sys
import tomllib
import uuid
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.home import CHECKOUT
from command_line import Parser, fail
from deploy.lock import LockError, Pin, pins

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do it. Returns the exit code."""
    parser = Parser("python -m deploy.sbom", __doc__)
    parser.add_argument(
        "--lock", type=Path, default=CHECKOUT / "requirements.lock", help="default: that of the checkout"
    )
    parser.add_argument(
        "--to", type=Path, default=CHECKOUT / "sbom.cdx.json", help="default: sbom.cdx.json of the checkout"
    )
    options = parser.parse_args(arguments)
    try:
        packages = pins(options.lock)
        atomic.write_text(options.to, bill_of_materials(packages, atomic.sha256(options.lock)))
    except LockError as error:
        return fail(str(error), 2)
    except OSError as error:
        return fail(f"{options.to}: cannot be written ({error.strerror}); give another --to", 1)
    print(f"{options.to}: {len(packages)} packages of {options.lock}")
    return 0


def bill_of_materials(packages: Sequence[Pin], digest: str) -> str:
    """CycloneDX JSON of these packages; `digest` (of the lock, hex) is what its serial number is made of."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    bom = Bom(serial_number=uuid.UUID(digest[:32]))
    bom.metadata.component = Component(
        name="glassformer", version=_version(), bom_ref="glassformer", type=ComponentType.APPLICATION
    )
    components = {}  # by name, in the version that is installed here where there are several
    for pin in packages:
        component = _component(pin)
        bom.components.add(component)
        if pin.name not in components or _is_installed(pin):
            components[pin.name] = component
    _relate(bom, components)
    text: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    made = json.loads(text)
    del made["metadata"]["timestamp"]  # the same lock gives the same bytes
    return atomic.json_text(made)


def _component(pin: Pin) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    url = PackageURL("pypi", name=pin.name, version=pin.version)
    licence = _licence(pin)
    return Component(
        name=pin.name, version=pin.version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url),
        licenses=[LicenseFactory().make_from_string(licence)] if licence else (),
        # A component's own hashes are of one file; each file that may be installed is a place to get it from.
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"{url}#{number}"),
                              hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)])
            for number, sha256 in enumerate(pin.hashes)
        ],
    )  # fmt: skip


def _relate(bom: Bom, components: dict[str, Component]) -> None:
    """Record the dependencies of each installed package; the application's are those of pyproject.toml."""
    assert bom.metadata.component is not None
    bom.register_dependency(bom.metadata.component, _dependencies(_project().get("dependencies", []), components))
    for name, component in components.items():
        if about := _distribution(name):
            bom.register_dependency(component, _dependencies(about.requires or [], components))


def _dependencies(requirements: Iterable[str], components: dict[str, Component]) -> list[Component]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    read = [Requirement(text) for text in requirements]
    names = {canonicalize_name(one.name) for one in read if one.marker is None or one.marker.evaluate({"extra": ""})}
    return [components[name] for name in sorted(names) if name in components]


def _licence(pin: Pin) -> str:
    """Licence of the installed version: an SPDX expression, or its licence classifiers."""
    about = _distribution(pin.name)
    if about is None or not _is_installed(pin):
        return ""
    classifiers = about.metadata.get_all("Classifier") or []
    named = [
        text.rpartition(" :: ")[2]
        for text in classifiers
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    return str((about.metadata.get_all("License-Expression") or [" / ".join(named)])[0])


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _is_installed(pin: Pin) -> bool:
    about = _distribution(pin.name)
    return about is not None and about.version == pin.version


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _version() -> str:
    return str(_project()["version"])


if __name__ == "__main__":
    sys.exit(main())
