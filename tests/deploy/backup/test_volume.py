"""Reading the containers' volume: files and folders, and nothing that would land elsewhere."""

import io
import shlex
import tarfile

import pytest

from deploy.backup.backup_folder import BackupError
from deploy.backup.compose import Volume


def member(name, kind=tarfile.REGTYPE, link=""):
    one = tarfile.TarInfo(name)
    one.type, one.linkname = kind, link
    return one


def sending(tmp_path, *members):
    """A volume that sends these; a file holds its own name."""
    archive = tmp_path / "sent.tar"
    with tarfile.open(archive, "w") as written:
        for one in members:
            data = one.name.encode() if one.isfile() else b""
            one.size = len(data)
            written.addfile(one, io.BytesIO(data))
    return Volume(("sh", "-c", f"cat {shlex.quote(str(archive))}"))


def test_files_and_folders_are_fetched_unchanged(tmp_path):
    volume = sending(
        tmp_path, member("./a", tarfile.DIRTYPE), member("./a/b"), member("c/d/e"), member("./f", tarfile.DIRTYPE)
    )
    volume.fetch(tmp_path / "to")
    assert (tmp_path / "to/a/b").read_text() == "./a/b"
    assert (tmp_path / "to/c/d/e").read_text() == "c/d/e"
    assert (tmp_path / "to/f").is_dir()


@pytest.mark.parametrize(
    "evil",
    [member("../outside"), member("a/../../outside"), member("/outside"), member("link", tarfile.SYMTYPE, "/etc"),
     member("hard", tarfile.LNKTYPE, "a"), member("device", tarfile.CHRTYPE), member("pipe", tarfile.FIFOTYPE)],
    ids=lambda evil: evil.name,
)  # fmt: skip
def test_links_devices_and_outside_paths_are_refused_by_name(tmp_path, evil):
    with pytest.raises(BackupError, match=f"{evil.name}' is no file or folder of the artifacts"):
        sending(tmp_path, member("a"), evil).fetch(tmp_path / "to")
    assert not (tmp_path / "outside").exists()
    assert [one.name for one in (tmp_path / "to").iterdir()] == ["a"]
