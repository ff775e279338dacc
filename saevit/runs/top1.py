"""A top-1 that was measured here: the facts in the record of an evaluation, read when a file is read."""

import math
from dataclasses import dataclass

from saevit.runs.record import Record
from saevit.runs.statistics import Share
from saevit.text import read_whole

TOP1 = "top1"


@dataclass(frozen=True, kw_only=True)
class MeasuredTop1:
    """The accuracy of a trained network on one split of data."""

    record: Record
    data: str
    fingerprint: str  # of the data; "": not known
    split: str
    share: Share
    unreadable: int
    checkpoint: str
    sha256: str

    @property
    def model(self) -> str:
        """The text of the network."""
        return self.record.subject

    @property
    def img_size(self) -> tuple[int, int]:
        """(H, W) that it was evaluated at."""
        assert self.record.conditions is not None
        return self.record.conditions.img_size

    @property
    def definition(self) -> int:
        """Number of the network's definition that variants had."""
        assert self.record.environment is not None
        return self.record.environment.network


def read_top1(record: Record) -> MeasuredTop1 | None:
    """Return the top-1 of a record, whose notes are written as `name=value`; None if it is another record."""
    if record.quantity != TOP1 or record.source != "measured" or record.conditions is None:
        return None
    facts = dict(note.split("=", 1) for note in record.notes if "=" in note)
    try:
        share = Share(hits=read_whole(facts["correct"]), total=read_whole(facts["images"]))
        unreadable = read_whole(facts["unreadable"])
        if unreadable < 0 or not math.isclose(100 * share.value, record.value or 0.0):
            return None
        return MeasuredTop1(
            record=record,
            share=share,
            data=facts["data"],
            fingerprint=facts.get("fingerprint", ""),
            split=facts["split"],
            unreadable=unreadable,
            checkpoint=facts["checkpoint"],
            sha256=facts["sha256"],
        )
    except (KeyError, ValueError):
        return None
