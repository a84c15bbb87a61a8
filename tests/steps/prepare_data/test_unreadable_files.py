"""A file that cannot be read to its end is an error that names it, whatever share of rows may be bad."""

import gzip
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from artifacts.errors import UserError
from steps.prepare_data.columns import Columns
from steps.prepare_data.files import matching, read
from tests.prepared import prepare, sentences

_DRAW = random.Random(1)
TEXT = "text,label\n" + "".join(f"{_DRAW.random()} {line},x\n" for line in sentences(800))
SQUEEZED = {"gz": gzip.compress, "zst": zstandard.compress}


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_end(data: bytes) -> bytes:
    return data[:-3]


def changed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 40]) + data[middle + 40 :]


def replaced(data: bytes) -> bytes:
    return b"<html>404 not found</html>"


def emptied(data: bytes) -> bytes:
    return b""


def with_more(data: bytes) -> bytes:
    return data + b"this is no second member"


@pytest.mark.parametrize("damage", [cut, without_end, changed, replaced, emptied, with_more])
@pytest.mark.parametrize("ending", ["csv.gz", "txt.gz", "csv.zst", "txt.zst"])
def test_damaged_compressed_file_is_rejected(tmp_path, ending, damage):
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(damage(SQUEEZED[ending[4:]](TEXT.encode())))
    with pytest.raises(UserError, match=rf"rows\.{ending}: (damaged or cut-off|empty).*fetch or compress it again"):
        list(read([path], Columns("text")))


@pytest.mark.parametrize("damage", [cut, without_end, changed, replaced, emptied])
def test_damaged_parquet_file_is_rejected(tmp_path, damage):
    path = tmp_path / "rows.parquet"
    table = pa.table({"text": [f"{n} {line}" for n, line in enumerate(sentences(3000))]})
    pq.write_table(table, path, write_page_checksum=True)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"rows\.parquet: .*Parquet.*fetch or write it again"):
        list(read([path], Columns("text")))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", ["txt", "csv", "tsv", "jsonl", "csv.gz"])
def test_utf16_and_utf32_files_are_rejected(tmp_path, encoding, ending):
    path = tmp_path / f"rows.{ending}"
    data = TEXT.encode(encoding)
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    with pytest.raises(UserError, match=rf"rows\.{ending}: UTF-16 or UTF-32, not UTF-8; convert it.*iconv"):
        list(read([path], Columns("text")))


@pytest.mark.parametrize("ending", ["txt.gz", "csv.gz", "jsonl.zst"])
def test_decompression_bombs_are_rejected(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    squeezed = gzip.compress if ending.endswith("gz") else zstandard.compress
    path.write_bytes(squeezed(b"text\n" + b" " * (100 << 20), 1))
    with pytest.raises(UserError, match=rf"rows\.{ending}: decompresses to too much"):
        list(read([path], Columns("text")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_error_names_the_file(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text(TEXT)
    path.chmod(0)
    with pytest.raises(UserError, match=r"rows\.txt: Permission denied; check the file"):
        list(read([path], Columns("text")))


def test_system_error_names_the_file(tmp_path, monkeypatch):
    path = tmp_path / "rows.txt"
    path.write_text(TEXT)
    (path_of_files,) = matching(str(path))
    path.unlink()
    with pytest.raises(UserError, match=r"rows\.txt: No such file or directory; check the file"):
        list(read([path_of_files], Columns("text")))


@pytest.mark.parametrize("ending", ["csv.gz", "csv.zst"])
def test_one_damaged_file_stops_the_step(tmp_path, ending):
    squeezed = SQUEEZED[ending[4:]](TEXT.encode())
    (tmp_path / f"half.{ending}").write_bytes(cut(squeezed))
    for number in range(3):
        (tmp_path / f"part{number}.{ending}").write_bytes(replaced(squeezed) if number == 1 else squeezed)
    for source, named in ((f"half.{ending}", "half"), (f"part*.{ending}", "part1")):
        with pytest.raises(UserError, match=rf"{named}\.{ending}"):
            prepare(tmp_path, tmp_path / source, label_column="label", allowed_bad_share=1)
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    "header", [b"te\xffxt,label\n", b'"text,label\n', b'"te"xt,label\n', b"text" + b" " * (5 << 20) + b",label\n"]
)
def test_unreadable_csv_header_is_rejected(tmp_path, header):
    path = tmp_path / "rows.csv"
    path.write_bytes(header + b"one,a\ntwo,b\n")
    with pytest.raises(UserError, match=r"rows\.csv: its header cannot be read .*repair the first line"):
        list(read([path], Columns("text")))
