"""Every image once, in batches that every process can learn from, whoever shares them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.errors import OptionError
from saevit.train.batches import BatchSizes, count_updates, plan_epoch

SIZES = st.builds(
    BatchSizes, batch_size=st.integers(2, 9), processes=st.integers(1, 4), accumulate=st.integers(1, 3)
)


@given(sizes=SIZES, count=st.integers(8, 200), epoch=st.integers(0, 3))
def test_every_image_stands_in_an_epoch_exactly_once(sizes: BatchSizes, count: int, epoch: int) -> None:
    updates = plan_epoch(count, sizes, seed=1, epoch=epoch)
    seen = [i for update in updates for step in update for part in step for i in part]
    assert sorted(seen) == list(range(count))
    assert len(updates) == count_updates(count, sizes)


@given(sizes=SIZES, count=st.integers(8, 200))
def test_no_process_gets_a_batch_of_one(sizes: BatchSizes, count: int) -> None:
    for update in plan_epoch(count, sizes, seed=0, epoch=0):
        assert len(update) <= sizes.accumulate
        for step in update:
            assert len(step) == sizes.processes
            assert min(map(len, step)) >= 2
            assert max(map(len, step)) - min(map(len, step)) <= 1


@given(batch_size=st.integers(2, 9), processes=st.integers(1, 4), count=st.integers(8, 200))
def test_processes_share_what_one_would_see(batch_size: int, processes: int, count: int) -> None:
    alone = plan_epoch(count, BatchSizes(batch_size=batch_size * processes), seed=3, epoch=2)
    several = plan_epoch(count, BatchSizes(batch_size=batch_size, processes=processes), seed=3, epoch=2)
    together = [[i for step in update for part in step for i in part] for update in several]
    first = [[i for step in update for part in step for i in part] for update in alone]
    if len(first) == len(together):  # one process alone may keep a last batch that is too small to share
        assert first == together


def test_epochs_and_seeds_differ_in_order() -> None:
    sizes = BatchSizes(batch_size=4)
    orders = {str(plan_epoch(50, sizes, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_an_epoch_smaller_than_a_batch_is_one_update() -> None:
    (update,) = plan_epoch(5, BatchSizes(batch_size=64), seed=0, epoch=0)
    assert [len(part) for step in update for part in step] == [5]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(OptionError, match="1 training images are too few: BatchNorm needs 2 or more"):
        plan_epoch(1, BatchSizes(batch_size=8), seed=0, epoch=0)
    with pytest.raises(OptionError, match="too few for 4 processes: BatchNorm needs 8 or more"):
        plan_epoch(7, BatchSizes(batch_size=8, processes=4), seed=0, epoch=0)
