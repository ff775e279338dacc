"""The fixed split: its laws, and that it never moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from saevit.train.image_data import hold_out

labels = st.lists(st.integers(0, 5), max_size=80)


@given(labels, st.floats(0.01, 0.99))
def test_each_class_gives_its_share(classes: list[int], share: float) -> None:
    keys = [f"{i}.png" for i in range(len(classes))]
    out = hold_out(keys, classes, share)
    whole = Counter(classes)
    given_up = Counter(c for c, is_out in zip(classes, out, strict=True) if is_out)
    for c, n in whole.items():
        assert given_up[c] == (0 if n == 1 else min(max(round(share * n), 1), n - 1))


@given(labels, st.randoms())
def test_the_order_of_the_files_does_not_matter(classes: list[int], random: st.DataObject) -> None:
    keys = [f"{i}.png" for i in range(len(classes))]
    chosen = dict(zip(keys, hold_out(keys, classes), strict=True))
    order = list(range(len(classes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = hold_out([keys[i] for i in order], [classes[i] for i in order])
    assert dict(zip([keys[i] for i in order], again, strict=True)) == chosen


def test_the_split_never_moves() -> None:
    out = hold_out([str(i) for i in range(20)], [0] * 20)
    assert [i for i, is_out in enumerate(out) if is_out] == [8, 9, 13, 17]
