"""Folders of labelled images, with everything that lies in folders."""

import itertools
import multiprocessing
import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saevit.checkpoint import About
from saevit.errors import OptionError
from saevit.images import UnreadableImage
from saevit.text import printable
from saevit.train.data_sources import open_data
from saevit.train.image_data import Split
from saevit.train.loaders import EvalImages, collate
from saevit.train.transforms import eval_transform

SPLITS: tuple[Split, ...] = ("train", "validation", "all")
NETWORK = About(model="any", num_classes=2, img_size=(32, 48), mean=(0.5,) * 3, std=(0.25,) * 3)


def draw(path: Path, value: int = 128, mode: str = "RGB") -> None:
    """Write one image of 12 x 10 px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (12, 10), value).convert(mode).save(path)


def filled(folder: Path, classes: str, count: int = 5) -> None:
    """Write so many images into each class folder."""
    for name in classes:
        for i in range(count):
            draw(folder / name / f"{i}.png")


def kept(source: Path | str, split: Split) -> list[int]:
    """Labels of a split."""
    return list(open_data(str(source), split).labels)


def test_train_and_val_folders(tmp_path: Path) -> None:
    filled(tmp_path / "train", "ab", 4)
    filled(tmp_path / "val", "b", 3)
    assert kept(tmp_path, "train") == [0] * 4 + [1] * 4
    assert kept(tmp_path, "validation") == [1] * 3
    assert Counter(kept(tmp_path, "all")) == {0: 4, 1: 7}
    data = open_data(str(tmp_path), "validation")
    assert data.class_names == ("a", "b")
    assert data.warnings == (
        "no validation images of class a; the labels of the other classes do not change",
    )
    draw(tmp_path / "val" / "zebra" / "0.png")
    with pytest.raises(OptionError, match="class zebra in val/ and not in train/"):
        open_data(str(tmp_path), "validation")


CASES = (str.lower, str.upper, str.title)


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "test", "testing", "eval"])
@pytest.mark.parametrize("train", ["train", "training"])
def test_names_of_the_splits_in_any_case(train: str, validation: str, tmp_path: Path) -> None:
    for i, (upper, other) in enumerate(itertools.product(CASES, CASES)):
        folder = tmp_path / str(i)
        filled(folder / upper(train), "ab", 2)
        filled(folder / other(validation), "ab", 1)
        assert (len(kept(folder, "train")), len(kept(folder, "validation"))) == (4, 2)
        data = open_data(str(folder), "train")
        assert data.class_names == ("a", "b")
        assert data.statement.endswith(f"from {upper(train)}/, with {other(validation)}/ for validation")
        assert not data.warnings


@pytest.mark.parametrize("name", ["Val", "valid", "test"])
def test_validation_alone_cannot_be_trained_on(name: str, tmp_path: Path) -> None:
    filled(tmp_path / name, "ab", 2)
    assert len(open_data(str(tmp_path), "validation")) == 4
    with pytest.raises(OptionError, match=f"has {name}/ but no train/"):
        open_data(str(tmp_path), "train")


def test_which_of_several_is_taken_is_said(tmp_path: Path) -> None:
    for name, count in (("Train", 4), ("training", 9), ("val", 2), ("Test", 9), ("extra", 9)):
        filled(tmp_path / name, "ab", count)
    (tmp_path / "annotations").mkdir()
    assert (len(kept(tmp_path, "train")), len(kept(tmp_path, "validation"))) == (8, 4)
    for split in SPLITS:
        assert open_data(str(tmp_path), split).warnings == (
            "only Train/ and val/ are read; ignored: annotations, extra, Test, training",
        )


def test_unlabelled_test_images_beside_the_splits_are_left_aside(tmp_path: Path) -> None:
    filled(tmp_path / "train", "ab", 4)
    filled(tmp_path / "val", "ab", 2)
    draw(tmp_path / "test" / "0.png")
    data = open_data(str(tmp_path), "validation")
    assert (len(data), data.warnings) == (4, ("only train/ and val/ are read; ignored: test",))


@pytest.mark.parametrize(
    ("layout", "named"),
    [
        (("train/a/0.png", "train/b/0.png", "val/0.JPEG", "val/1.JPEG"), "val"),
        (("Training/0.png", "Testing/a/0.png", "Testing/b/0.png"), "Training"),
        (("TRAIN/0.png", "TEST/0.jpg"), "TRAIN"),
        (("train/0.png", "val/0.png", "labels/0.txt"), "train"),
        (("train/a/0.png", "train/b/0.png", "validation/readme.txt"), "validation"),
        (("train/0.png",), "train"),
        (("Test/0.png",), "Test"),
        (("val/0.png", "test/0.png"), "val"),
    ],
)
def test_a_split_without_class_folders_is_refused(layout: Sequence[str], named: str, tmp_path: Path) -> None:
    for name in layout:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for split in SPLITS:
        with pytest.raises(OptionError, match=rf": {named}/ has no class folders: put the images"):
            open_data(str(tmp_path), split)


def test_splits_within_what_would_be_a_class_are_refused(tmp_path: Path) -> None:
    for fold in ("one", "two"):
        filled(tmp_path / "folds" / fold / "Train", "ab", 1)
        filled(tmp_path / "folds" / fold / "TEST", "ab", 1)
    for source in ("folds", "."):
        with pytest.raises(
            OptionError, match=r"one/ contains the folders of two splits|has images of one class only"
        ):
            open_data(str(tmp_path / source), "train")
    assert open_data(str(tmp_path / "folds" / "two"), "train").class_names == ("a", "b")


@pytest.mark.parametrize("layout", ["", "train"])
def test_the_fingerprint_is_of_classes_names_and_sizes(layout: str, tmp_path: Path) -> None:
    """It moves with the folder, and knows no times, no order and no split's name."""
    filled(tmp_path / "one" / layout, "abc", 6)
    before = {split: open_data(str(tmp_path / "one"), split) for split in SPLITS}
    found = {split: data.fingerprint for split, data in before.items()}
    assert len(set(found.values())) == 3 if not layout else 2
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = tmp_path / "two" / layout
    for file in sorted(two.rglob("*.png"), reverse=True):
        os.utime(file, (1, 1))
        file.write_bytes(file.read_bytes()[::-1])  # other pixels are not seen
    (two / "a" / "notes.txt").write_text("no image")
    assert {split: open_data(str(tmp_path / "two"), split).fingerprint for split in SPLITS} == found
    changes: dict[str, Callable[[], object]] = {
        "class a removed, class z added": lambda: (two / "a").rename(two / "z"),
        "class d added": (two / "d").mkdir,
        "1 image added to class b": lambda: draw(two / "b" / "new.png"),
        "2 images removed from class c": lambda: [(two / "c" / f"{i}.png").unlink() for i in range(2)],
        "files with other names": lambda: (two / "c" / "0.png").rename(two / "c" / "x.png"),
        "files with other names, sizes": lambda: (two / "b" / "1.png").write_bytes(b"0"),
    }
    for said, change in changes.items():
        shutil.rmtree(tmp_path / "two")
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        change()
        now = open_data(str(tmp_path / "two"), "all")
        assert now.fingerprint != found["all"], said
        assert before["all"].identity.changes(now.identity).startswith(said)
        assert now.identity.changes(now.identity) == ""


def test_swapped_classes_are_other_data(tmp_path: Path) -> None:
    for name, count in (("a", 4), ("b", 5)):
        filled(tmp_path, name, count)
    before = open_data(str(tmp_path), "all")
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    now = open_data(str(tmp_path), "all")
    assert before.fingerprint != now.fingerprint
    assert before.identity.changes(now.identity) == "1 image added to class a, 1 image removed from class b"


def test_class_folders_alone_are_split_in_each_class(tmp_path: Path) -> None:
    filled(tmp_path, "ab", 10)
    filled(tmp_path / "b", "n", 5)  # nested: still of class b
    draw(tmp_path / "single" / "0.png")
    train, validation = open_data(str(tmp_path), "train"), open_data(str(tmp_path), "validation")
    assert train.class_names == ("a", "b", "single")
    assert Counter(train.labels) == {0: 8, 1: 12, 2: 1}
    assert Counter(validation.labels) == {0: 2, 1: 3}
    assert "a fixed 20 % of each class (5 of 26 images)" in train.statement
    assert train.name == str(tmp_path.resolve())


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    filled(tmp_path, "ab", 5)
    draw(tmp_path / "train" / "0.png")
    assert open_data(str(tmp_path), "train").class_names == ("a", "b", "train")


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("10", "9", "1"):
        draw(tmp_path / name / "0.png")
    assert open_data(str(tmp_path), "all").class_names == ("1", "9", "10")


def test_an_empty_class_keeps_its_place(tmp_path: Path) -> None:
    filled(tmp_path, "ac")
    (tmp_path / "b").mkdir()
    data = open_data(str(tmp_path), "train")
    assert data.class_names == ("a", "b", "c")
    assert set(data.labels) == {0, 2}
    assert any("images of class b" in line for line in data.warnings)


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(OptionError, match="one class only, 'a'"):
        open_data(str(tmp_path), "train")
    assert len(open_data(str(tmp_path), "validation")) == 1


def test_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not exist"):
        open_data(str(tmp_path / "nowhere"), "train")
    with pytest.raises(OptionError, match="no class folders"):
        open_data(str(tmp_path), "train")
    draw(tmp_path / "loose.png")
    with pytest.raises(OptionError, match="1 image and no class folders"):
        open_data(str(tmp_path), "train")
    with pytest.raises(OptionError, match="is not a folder"):
        open_data(str(tmp_path / "loose.png"), "train")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no image", encoding="utf-8")
    with pytest.raises(OptionError, match="has no images"):
        open_data(str(tmp_path), "train")


def test_files_that_are_no_images(tmp_path: Path) -> None:
    filled(tmp_path, "ab")
    (tmp_path / "a" / "notes.txt").write_text("no image", encoding="utf-8")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "a" / "._0.png").write_bytes(b"\0")  # what macOS leaves beside files
    draw(tmp_path / "loose.png")
    data = open_data(str(tmp_path), "all")
    assert len(data) == 10
    assert any(line.startswith("1 file without the extension of an image") for line in data.warnings)
    assert any(line.startswith("1 image outside the class folders") for line in data.warnings)


def test_broken_images_are_dropped_and_counted(tmp_path: Path) -> None:
    filled(tmp_path, "ab", 2)
    (tmp_path / "a" / "9.jpg").write_bytes(b"no image")
    half = (tmp_path / "b" / "0.png").read_bytes()[:40]
    (tmp_path / "b" / "9.png").write_bytes(half)
    data = open_data(str(tmp_path), "all")
    with pytest.raises(UnreadableImage, match=r"9\.jpg is not a PNG"):
        data[2]
    inputs = EvalImages(data, eval_transform(NETWORK))
    x, labels, dropped = collate([inputs[i] for i in range(len(inputs))])
    assert (x.shape, labels.tolist()) == ((4, 3, 32, 48), [0, 0, 1, 1])
    assert [Path(error.path).name for error in dropped] == ["9.jpg", "9.png"]
    x, labels, dropped = collate([inputs[2]])
    assert (len(x), len(labels), len(dropped)) == (0, 0, 1)
    assert str(pickle.loads(pickle.dumps(dropped[0]))) == str(dropped[0])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_files_and_folders(tmp_path: Path) -> None:
    check_forbidden(tmp_path)


def check_forbidden(folder: Path) -> None:
    """What may not be read is left out with its reason."""
    filled(folder, "abc", 2)
    (folder / "a" / "0.png").chmod(0)
    (folder / "b").chmod(0)
    try:
        data = open_data(str(folder), "all")
        assert [problem.endswith("b cannot be read: Permission denied") for problem in data.skipped] == [True]
        with pytest.raises(UnreadableImage, match=r"0\.png cannot be read: Permission denied"):
            data[0]
    finally:
        (folder / "b").chmod(0o755)


def as_nobody(folder: Path) -> None:
    """Run in a process of its own, which gives up root's rights."""
    os.setuid(65534)
    check_forbidden(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="others are tested directly")
def test_forbidden_files_and_folders_as_root(tmp_path: Path) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        if folder != Path("/tmp"):
            folder.chmod(0o777)
    process = multiprocessing.get_context("fork").Process(target=as_nobody, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    filled(tmp_path / "data", "ab", 2)
    filled(tmp_path / "elsewhere", "c", 3)
    (tmp_path / "data" / "c").symlink_to(tmp_path / "elsewhere" / "c")
    (tmp_path / "data" / "a" / "round").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "b" / "dead.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "data" / "b" / "linked.png").symlink_to(tmp_path / "elsewhere" / "c" / "0.png")
    data = open_data(str(tmp_path / "data"), "all")
    assert Counter(data.labels) == {0: 2, 1: 3, 2: 3}
    assert [text.rpartition("/")[2] for text in data.skipped] == [
        "round is a link to a folder above it",
        "dead.png is a broken link or not a regular file",
    ]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_comes_as_rgb(mode: str, tmp_path: Path) -> None:
    ending = {"CMYK": "tif", "I;16": "tif"}.get(mode, "png")
    for name in "ab":
        (tmp_path / name).mkdir()
        image = Image.fromarray(np.arange(120, dtype=np.uint16).reshape(10, 12) * 500)
        (image if mode == "I;16" else Image.new("RGB", (12, 10), (200, 100, 50)).convert(mode)).save(
            tmp_path / name / f"0.{ending}"
        )
    image, _ = open_data(str(tmp_path), "all")[0]
    assert (image.mode, image.size) == ("RGB", (12, 10))


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    Image.new("RGB", (12, 10)).save(tmp_path / "a" / "0.jpg", exif=exif)
    image, _ = open_data(str(tmp_path), "all")[0]
    assert image.size == (10, 12)


ODD = (
    b"zwei W\xc3\xb6rter=1",
    b"new\nline",
    b"\xff\xfe",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"\xc2\xb2",
    b"%41",
    b"~",
    b"{$",
)


def test_odd_names_stay_on_one_line(tmp_path: Path) -> None:
    """Of classes, of images, and of the folder itself, which its address finds again."""
    for name in ODD:
        folder = tmp_path / os.fsdecode(name)
        for inner in ODD:
            draw(folder / os.fsdecode(inner) / f"{os.fsdecode(inner)}.png")
        data = open_data(str(folder), "all")
        assert len({data[i][0].size for i in range(len(ODD))}) == 1
        for text in (*data.class_names, data.statement, data.name):
            assert printable(text) == text
            text.encode()
        again = open_data(data.name, "all")
        assert (again.name, again.fingerprint) == (data.name, data.fingerprint)
    assert {"new\\nline", "\\udcff\\udcfe", "²"} <= set(data.class_names)


@pytest.mark.slow  # the system needs seconds for paths of this length
def test_folders_in_folders_to_any_depth(tmp_path: Path) -> None:
    for name in "ab":
        draw(tmp_path / name / "/".join("d" * 900) / "0.png")
    assert kept(tmp_path, "all") == [0, 1]


@pytest.mark.parametrize(
    "source", ["x" * 300, "a\0b", "loop", "loop/x", "file/x", "file", "pipe", "\udcff", ""]
)
def test_what_is_no_folder_is_one_line(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("file").write_text("no folder")
    os.mkfifo("pipe")
    with pytest.raises(OptionError) as caught:
        open_data(source, "train")
    assert str(caught.value).isprintable()
