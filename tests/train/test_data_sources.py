"""The digits of scikit-learn."""

import sys
from collections import Counter

import pytest

from saevit.errors import MissingPackageError
from saevit.train.data_sources import open_data
from saevit.train.image_data import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "all")


def test_digits_are_split_by_class_and_the_same_every_time() -> None:
    pytest.importorskip("sklearn")
    train, validation, everything = (open_data("digits", s) for s in ("train", "validation", "all"))
    assert (len(train), len(validation), len(everything)) == (1438, 359, 1797)
    assert train.class_names == tuple("0123456789")
    whole, out = Counter(everything.labels), Counter(validation.labels)
    assert all(out[c] == round(0.2 * whole[c]) for c in range(10))
    assert Counter(train.labels) + out == whole
    assert "359 of them, 20 % of each class" in train.statement
    again = open_data("digits", "validation")
    pairs = zip(validation, again, strict=False)
    assert all(a[0].tobytes() == b[0].tobytes() and a[1] == b[1] for a, b in list(pairs)[:50])
    image, _ = train[0]
    assert (image.mode, image.size) == ("RGB", (8, 8))
    shown = {data[i][0].tobytes() for data in (validation,) for i in range(len(data))}
    assert sum(train[i][0].tobytes() in shown for i in range(len(train))) < 10  # scans that are alike, if any


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'saevit\[train\]'"):
        open_data("digits", "train")


def test_other_data_have_fingerprints_too() -> None:
    pytest.importorskip("sklearn")
    found = {open_data("digits", split).fingerprint for split in SPLITS}
    assert len(found) == 3
    assert open_data("digits", "all").fingerprint in found
