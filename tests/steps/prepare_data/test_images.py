"""Digits and folders of images as corpora: classes, sizes, modes, and what is set aside."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artifacts.corpus import SPLITS, Corpus
from artifacts.errors import UserError
from artifacts.images import pixels, png
from steps.prepare_data import dependencies
from steps.prepare_data.config import Config
from steps.prepare_data.images import matching, read
from tests.prepared import prepare, sentences
from tests.small_images import content, digits, folder, picture

SHARES = {"validation_share": 0.2, "test_share": 0.2}


def rows(made):
    return {row["id"]: row for split in SPLITS for row in Corpus(made).rows(split)}


def test_digits_corpus_matches_scikit_learn_data(tmp_path):
    from sklearn.datasets import load_digits

    made = digits(tmp_path, max_rows=0)
    info, found, data = Corpus(made).info, rows(made), load_digits()
    assert (info["image"], info["labels"]) == ({"height": 8, "width": 8, "channels": 1}, list("0123456789"))
    assert len(found) == 1797 - info["duplicates"]["exact"]
    for number in (0, 17, 1796):
        row = found[f"digits:{number}"]
        assert (row["label"], row["text"], row["group"]) == (str(data.target[number]), "", None)
        ink = pixels(row["image"], 8, 8, 1)[..., 0] * (16 / 255)
        np.testing.assert_array_equal(ink.round(), data.images[number])
    assert info["parts"][0]["name"] == "scikit-learn"
    assert "BSD" in info["license"]
    assert info["lengths"] == []


def test_digest_of_digits_corpus_is_reproducible(tmp_path):
    assert digits(tmp_path / "one").digest == digits(tmp_path / "two").digest


def test_folders_are_classes_and_location_does_not_change_digest(tmp_path):
    source = folder(tmp_path / "one" / "flowers")
    (source / "a" / "deeper").mkdir()
    (source / "a" / "deeper" / "x.JPG").write_bytes(content(picture(5007), "JPEG"))
    (source / "plain.png").write_bytes(content(picture(5008)))
    for ignored in ("notes.txt", ".hidden.png", "a/Thumbs.db"):
        (source / ignored).write_bytes(b"not looked at")
    made = prepare(tmp_path / "home", source, **SHARES)
    found = rows(made)
    assert len(found) == 82
    assert {name: found[name]["label"] for name in ("a/0.png", "a/deeper/x.JPG", "b/3.png", "plain.png")} == {
        "a/0.png": "a",
        "a/deeper/x.JPG": "a",
        "b/3.png": "b",
        "plain.png": None,
    }
    assert Corpus(made).info["image"] == {"height": 8, "width": 10, "channels": 3}
    shutil.copytree(source, tmp_path / "two" / "flowers")
    assert prepare(tmp_path / "other", tmp_path / "two" / "flowers", **SHARES).digest == made.digest
    files = dependencies.files(Config(source=str(source)))
    assert [str(path.relative_to(source)) for path in files if "x.JPG" in path.name] == ["a/deeper/x.JPG"]
    assert len(files) == 82


def test_link_loops_are_skipped_and_dangling_links_are_rejected(tmp_path):
    source = folder(tmp_path / "flowers")
    (source / "b").rename(tmp_path / "b")
    (source / "b").symlink_to(tmp_path / "b")
    (source / "a" / "round").symlink_to(source)
    assert len(matching(str(source))) == 80
    (source / "a" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"a/dangling\.png: No such file or directory; check the file"):
        list(read(str(source)))


def test_equal_pixels_in_different_files_are_duplicates(tmp_path):
    source = folder(tmp_path / "flowers", mode="L")
    image = Image.open(source / "a" / "0.png")
    image.save(source / "b" / "same.bmp")
    image.save(source / "a" / "packed.png", compress_level=0)
    info = Corpus(prepare(tmp_path / "home", source, **SHARES)).info
    assert (info["duplicates"]["exact"], info["duplicates"]["near"]) == (1, 0)
    # The same picture in another class is another answer: both stay, and are counted
    assert info["conflicts"] == {"label": 2}


def test_images_of_other_sizes_are_set_aside_or_scaled(tmp_path):
    source = folder(tmp_path / "flowers")
    (source / "a" / "zz.png").write_bytes(content(picture(9, (20, 16))))
    with pytest.raises(UserError, match=r"1 of 81 rows.*another size than the first image's 10 x 8 \(set image_size\)"):
        prepare(tmp_path / "home", source, **SHARES)
    allowed = prepare(tmp_path / "home", source, **SHARES, allowed_bad_share=0.02)
    set_aside = pq.read_table(allowed.file("quarantine.parquet")).to_pylist()
    assert [row["place"] for row in set_aside] == ["a/zz.png"]
    scaled = prepare(tmp_path / "scaled", source, **SHARES, image_size=6)
    assert Corpus(scaled).info["image"] == {"height": 6, "width": 6, "channels": 3}
    assert pixels(rows(scaled)["a/zz.png"]["image"], 6, 6, 3).shape == (6, 6, 3)


@pytest.mark.parametrize(("mode", "channels"), [("grey", 1), ("colour", 3)])
def test_image_mode_converts_all_images_to_one_mode(tmp_path, mode, channels):
    source = folder(tmp_path / "flowers", mode="L")
    (source / "b" / "zz.png").write_bytes(content(picture(9)))
    with pytest.raises(UserError, match=r"in colour, where the first image is grey \(set image_mode\)"):
        prepare(tmp_path / "home", source, **SHARES)
    made = prepare(tmp_path / "home", source, **SHARES, image_mode=mode)
    assert Corpus(made).info["image"]["channels"] == channels


def test_grey_image_among_colour_images_is_accepted(tmp_path):
    source = folder(tmp_path / "flowers")
    (source / "b" / "zz.png").write_bytes(content(picture(9, mode="L")))
    found = rows(prepare(tmp_path / "home", source, **SHARES))
    assert np.ptp(pixels(found["b/zz.png"]["image"], 8, 10, 3), axis=-1).max() == 0


def test_every_broken_image_is_set_aside_with_its_name(tmp_path):
    source = folder(tmp_path / "flowers")
    whole = content(picture(1))
    broken = {
        "a/cut.png": whole[:150],
        "a/empty.png": b"",
        "b/frames.gif": content(picture(1, mode="L"), "GIF", save_all=True, append_images=[picture(2, mode="L")]),
        "b/phone.heic": whole,
        "b/text.jpg": b"hello",
    }
    for name, data in broken.items():
        (source / name).write_bytes(data)
    made = prepare(tmp_path / "home", source, **SHARES, allowed_bad_share=0.1)
    set_aside = {row["place"]: row["reason"] for row in pq.read_table(made.file("quarantine.parquet")).to_pylist()}
    assert set_aside.keys() == broken.keys()
    assert set_aside["a/empty.png"] == "empty file"
    assert set_aside["b/phone.heic"] == "kind of image that cannot be read (.heic)"
    assert set_aside["b/frames.gif"].startswith("several pictures")
    with pytest.raises(UserError, match=r"5 of 85 rows cannot be used .*the first: a/cut\.png: truncated image"):
        prepare(tmp_path / "strict", source, **SHARES)


def test_folder_without_images_or_with_split_folders_is_rejected(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("\n".join(sentences(5)))
    with pytest.raises(UserError, match=r"a folder without images .*give a glob, for instance '.*texts/\*\.txt'"):
        dependencies.files(Config(source=str(tmp_path / "texts")))
    for split in ("train", "test"):
        (tmp_path / "splits" / split / "a").mkdir(parents=True)
        (tmp_path / "splits" / split / "a" / "1.png").write_bytes(png(np.zeros((4, 4), np.uint8)))
    with pytest.raises(UserError, match=r"\(test, train\) are splits, not classes; give them as train"):
        dependencies.files(Config(source=str(tmp_path / "splits")))


def test_class_too_small_for_all_splits_loses_its_label(tmp_path):
    source = folder(tmp_path / "flowers")
    (source / "c").mkdir()
    (source / "c" / "only.png").write_bytes(content(picture(99)))
    made = Corpus(prepare(tmp_path / "home", source, **SHARES))
    assert made.labels == ["a", "b"]
    assert made.info["labels_out"] == {"too rare": {"count": 1, "first": "c/only.png"}}
