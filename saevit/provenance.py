"""How weights were trained: the facts that an accuracy needs to be compared with another. Only data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from saevit.text import read_number, read_whole

LARGEST = 2**53


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training behind some weights; two trainings with the same `recipe` are on equal terms.

    Raises:
        ValueError: a negative number, or one beyond 2^53.
    """

    recipe: str  # digest of every setting but seed, learning rate and drop path
    base: str  # name of the built-in recipe that it is based on
    seed: int
    lr: float  # the highest of the schedule
    epoch: int  # after which the weights were taken
    epochs: int  # of the whole schedule
    images: int  # training images up to that epoch, each as often as it was used
    fingerprint: str  # of the training data
    init: str = ""  # SHA-256 of the file of weights that it started from; empty: random weights

    def __post_init__(self) -> None:
        for name in ("seed", "lr", "epoch", "epochs", "images"):
            if not 0 <= getattr(self, name) <= LARGEST:
                raise ValueError(f"{name} {getattr(self, name)}: from 0 to {LARGEST}")

    @property
    def is_complete(self) -> bool:
        """Were the weights taken at the end of the schedule, not chosen by an accuracy before it?"""
        return self.epoch == self.epochs

    def to_notes(self) -> tuple[str, ...]:
        """Return the facts as notes of a record, which `from_notes` reads."""
        return tuple(f"trained_{n}={value}" for n, value in asdict(self).items() if n != "init" or value)

    @classmethod
    def from_notes(cls, facts: Mapping[str, str]) -> Self | None:
        """Read the notes of a record by name; None if they have no training.

        Raises:
            ValueError: a number that cannot be read.
        """
        texts = {name: facts.get(f"trained_{name}", "") for name in cls.__dataclass_fields__}
        if any(f"trained_{name}" not in facts for name in texts if name != "init"):
            return None
        return cls(
            recipe=texts["recipe"],
            base=texts["base"],
            seed=read_whole(texts["seed"]),
            lr=read_number(texts["lr"]),
            epoch=read_whole(texts["epoch"]),
            epochs=read_whole(texts["epochs"]),
            images=read_whole(texts["images"]),
            fingerprint=texts["fingerprint"],
            init=texts["init"],
        )
