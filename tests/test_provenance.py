"""How weights were trained, as notes of a record and in a checkpoint."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.provenance import Training
from saevit.runs.run import pack_hits, unpack_hits

COUNTS = st.integers(min_value=0, max_value=2**53)
TRAININGS = st.builds(
    Training,
    recipe=st.text("0123456789abcdef", min_size=12, max_size=12),
    base=st.sampled_from(["imagenet", "icons", "digits"]),
    seed=COUNTS,
    lr=st.floats(min_value=0, max_value=10, allow_subnormal=False).filter(lambda x: x == 0 or x > 1e-200),
    epoch=COUNTS,
    epochs=COUNTS,
    images=COUNTS,
    fingerprint=st.text("0123456789abcdef", min_size=64, max_size=64),
)


@given(TRAININGS)
def test_notes_keep_every_fact(training: Training) -> None:
    notes = training.to_notes()
    facts = dict(note.split("=", 1) for note in notes)
    assert Training.from_notes(facts) == training
    assert Training.from_notes(dict(list(facts.items())[1:])) is None


def test_impossible_facts_are_refused() -> None:
    one = Training(
        recipe="0" * 12, base="icons", seed=0, lr=0.1, epoch=2, epochs=2, images=10, fingerprint="f"
    )
    assert one.is_complete
    assert not replace(one, epoch=1).is_complete
    with pytest.raises(ValueError, match="seed -1"):
        replace(one, seed=-1)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_packed_hits_are_read_back(hits: list[bool]) -> None:
    text = pack_hits(hits)
    assert unpack_hits(text, len(hits)) == tuple(hits)
    with pytest.raises(ValueError, match="hits or misses"):
        unpack_hits(text, len(hits) + 1)
