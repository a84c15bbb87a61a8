"""The bill of materials: all of the lock, in CycloneDX's own form, the same bytes each time, without a network."""

import json
import socket
from importlib import resources

import jsonschema_rs
import pytest
from packageurl import PackageURL

from artifacts.home import CHECKOUT
from deploy import sbom
from deploy.lock import pins

LOCK = CHECKOUT / "requirements.lock"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    file = tmp_path_factory.mktemp("sbom") / "sbom.cdx.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("no network"))
        assert sbom.main(["--to", str(file)]) == 0
        first = file.read_bytes()
        assert sbom.main(["--to", str(file)]) == 0
    assert file.read_bytes() == first
    return json.loads(first)


def test_sbom_lists_every_locked_package_with_its_digests(made):
    found = {one["purl"]: one for one in made["components"]}
    assert len(found) == len(made["components"]) == len(pins(LOCK))
    assert {"torch", "mlflow", "pip-audit"} <= {one["name"] for one in found.values()}
    for pin in pins(LOCK):
        one = found[str(PackageURL("pypi", name=pin.name, version=pin.version))]
        assert (one["name"], one["version"]) == (pin.name, pin.version)
        digests = {given["content"] for place in one["externalReferences"] for given in place["hashes"]}
        assert digests == set(pin.hashes)
    assert sum("licenses" in one for one in found.values()) > len(found) * 0.8


def test_sbom_lists_package_dependencies(made):
    needs = {one["ref"]: one.get("dependsOn", []) for one in made["dependencies"]}
    assert any(ref.startswith("pkg:pypi/torch@") for ref in needs["glassformer"])
    (mlflow,) = (ref for ref in needs if ref.startswith("pkg:pypi/mlflow@"))
    assert any(ref.startswith("pkg:pypi/sqlalchemy@") for ref in needs[mlflow])


def test_sbom_is_valid_cyclonedx(made):
    folder = resources.files("cyclonedx.schema") / "_res"
    named = {
        "bom-1.6.SNAPSHOT.schema.json": "",
        "spdx.SNAPSHOT.schema.json": "spdx",
        "jsf-0.82.SNAPSHOT.schema.json": "jsf-0.82",
        "cryptography-defs.SNAPSHOT.schema.json": "cryptography-defs",
    }
    schemas = {key: json.loads((folder / file).read_text()) for file, key in named.items()}
    registry = jsonschema_rs.Registry(
        [(f"http://cyclonedx.org/schema/{key}.SNAPSHOT.schema.json", schemas[key]) for key in schemas if key]
    )
    jsonschema_rs.validator_for(schemas[""], registry=registry).validate(made)


def test_invalid_lock_and_unwritable_output_are_errors(tmp_path, capsys):
    (tmp_path / "lock").write_text("numpy\n")
    assert sbom.main(["--lock", str(tmp_path / "lock"), "--to", str(tmp_path / "out")]) == 2
    assert sbom.main(["--to", "/proc/sbom.json"]) == 1
    assert "cannot be written" in capsys.readouterr().err
