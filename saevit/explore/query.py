"""What is asked of a space: limits to keep, objectives of the front, a quantity to rank by."""

from dataclasses import dataclass
from typing import Any

from saevit.errors import OptionError
from saevit.explore.costs import Evaluator
from saevit.explore.limits import Limit
from saevit.explore.quantities import QUANTITIES, Sums, loss, needed, objective
from saevit.explore.space import Space
from saevit.variant import NUM_STAGES


@dataclass(frozen=True, kw_only=True)
class Query:
    """A space and what is asked of it.

    Raises:
        OptionError: an unknown objective, one that stands twice, none at all.
    """

    space: Space
    img_size: tuple[int, int] = (224, 224)
    objectives: tuple[str, ...] = ("gmacs", "capacity")
    limits: tuple[Limit, ...] = ()
    rising: bool = False  # only variants whose channels never fall from stage to stage
    rank: str = "capacity"
    top: int = 10

    def __post_init__(self) -> None:
        if not self.objectives:
            raise OptionError("no objectives: name at least one, such as gmacs,capacity")
        if len(set(self.objectives)) < len(self.objectives):
            raise OptionError(f"objectives {','.join(self.objectives)}: one stands twice, once is enough")
        for name in (*self.objectives, self.rank):
            objective(name)

    @property
    def partials(self) -> tuple[str, ...]:
        """What has to be known of every variant."""
        return needed((*self.objectives, self.rank, *(limit.quantity for limit in self.limits)))

    @property
    def needs_factor(self) -> bool:
        """Is the last map's size wanted?"""
        return "capacity" in (*self.objectives, self.rank)

    def evaluator(self) -> Evaluator:
        """Return what computes the partials."""
        return Evaluator(self.space, self.img_size, self.partials)

    def losses(self, sums: Sums, factor: Any) -> list[Any]:
        """Return a column for each objective, less is better."""
        return [loss(name, QUANTITIES[name].of(sums, factor) * 1.0) for name in self.objectives]

    def rank_loss(self, sums: Sums, factor: Any) -> Any:
        """Return what the ranking is by, less is better."""
        return loss(self.rank, QUANTITIES[self.rank].of(sums, factor) * 1.0)


LAST = NUM_STAGES - 1
