"""One chunk of a space, swept: which variants keep the limits, their front, the best of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saevit.explore.capacity import last_factor
from saevit.explore.costs import Evaluator, Flags, Ints
from saevit.explore.frontier import Floats, Front, Top
from saevit.explore.query import LAST, Query
from saevit.explore.tables import Chunk, Layout, Tables, digits_of
from saevit.variant import NUM_STAGES

ROWS = 2**16  # variants that are looked at together: they stay in a core's cache
SAMPLE = 2**16  # variants that show beforehand what a front cannot be worse than
WORTH_A_SAMPLE = 2**20  # variants in a space


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was found in a part of a space. Merging parts in any order gives the same."""

    number: int
    seen: int
    invalid: int  # combinations that are no network
    falling: int  # networks whose channels fall, where they must not
    kept: int  # networks within all limits
    excluded: tuple[int, ...]  # by each limit alone, of the networks left
    front: tuple[tuple[int, tuple[float, ...]], ...]  # place, losses
    top: tuple[tuple[int, float], ...]
    nearest: tuple[float, int] | None  # the least largest miss, and where; None once a variant is kept


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What a sample of the whole space shows: no chunk has to keep what these beat."""

    front: Floats | None = None
    worst: float = np.inf


class Sweeper:
    """Sweeps chunks of one query; holds the tables of the last one."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.evaluator = query.evaluator()
        self.layout = Layout.of(query, self.evaluator)
        self.tables: tuple[int, Tables] | None = None
        self.hints: Hints | None = None if query.space.size >= WORTH_A_SAMPLE else Hints()

    def sweep(self, number: int) -> Part:
        """Return what one chunk holds."""
        chunk = self.layout.chunk(number)
        if self.hints is None:
            self.hints = hints_of(self.query, self.evaluator)
        if self.tables is None or self.tables[0] != chunk.first:
            self.tables = (chunk.first, Tables(self.query, self.evaluator, chunk.first, chunk.count))
        return ChunkSweep(self.query, self.layout, self.tables[1], chunk, self.hints).run()


class ChunkSweep:
    """The work on one chunk: a row for each prefix (all stages but the last), a column for each ending."""

    def __init__(self, query: Query, layout: Layout, tables: Tables, chunk: Chunk, hints: Hints) -> None:
        self.query, self.layout, self.tables, self.chunk = query, layout, tables, chunk
        self.front = Front(len(query.objectives), hints.front)
        self.top = Top(query.top, hints.worst)
        self.tail = {name: each.reshape(-1, layout.tail) for name, each in tables.sums[LAST].items()}
        self.tail_valid = None if tables.valid[LAST].all() else tables.valid[LAST]
        rises = tables.rises[LAST]
        self.tail_rises = None if rises is None or rises.all() else rises.reshape(-1, layout.tail)
        self.excluded = [0] * len(query.limits)
        self.invalid = self.falling = self.kept = 0
        self.nearest: tuple[float, int] | None = None

    def run(self) -> Part:
        """Sweep the chunk."""
        self._add_prefixes()
        step = max(1, ROWS // self.layout.tail)
        for start in range(0, len(self.places), step):
            self._look_at(slice(start, start + step))
        self.front.merge()
        self.top.merge()
        chunk = self.chunk
        return Part(
            number=chunk.number,
            seen=(chunk.stop - chunk.start) * self.layout.tail,
            invalid=self.invalid,
            falling=self.falling,
            kept=self.kept,
            excluded=tuple(self.excluded),
            front=tuple(
                (number, tuple(losses))
                for number, losses in zip(
                    self.front.numbers.tolist(), self.front.losses.tolist(), strict=True
                )
            ),
            top=tuple(zip(self.top.numbers.tolist(), self.top.losses.tolist(), strict=True)),
            nearest=None if self.kept else self.nearest,
        )

    def _add_prefixes(self) -> None:
        """Add up all stages but the last, for the prefixes that are networks so far."""
        tables, count = self.tables, np.arange(self.chunk.start, self.chunk.stop)
        options: list[Ints] = []
        rest = count
        for size in reversed(tables.shape[:LAST]):
            rest, option = np.divmod(rest, size)
            options.insert(0, option)
        whole = rest
        valid, rises = np.ones(len(count), np.bool_), np.ones(len(count), np.bool_)
        sums: dict[str, Ints] = {}
        before = whole * 0
        for i, option in enumerate(options):
            valid &= tables.valid[i][whole, option]
            rising = tables.rises[i]
            if rising is not None:
                rises &= rising[whole, before, option]
            for name, table in tables.sums[i].items():
                part = table[whole, before, option]
                sums[name] = joined(name, sums[name], part) if i else part
            before = tables.kinds[i][option]
        per_row = tables.valid[LAST].sum(axis=1)
        networks = int(per_row[whole[valid]].sum())
        self.invalid = len(count) * self.layout.tail - networks
        stays = np.flatnonzero(valid & rises)
        self.falling = networks - int(per_row[whole[stays]].sum())
        self.places, self.whole = count[stays], whole[stays]
        self.row = self.whole * (tables.sums[LAST][self.query.partials[0]].shape[1]) + before[stays]
        self.sums = {name: each[stays] for name, each in sums.items()}

    def _look_at(self, rows: slice) -> None:
        """Judge the variants of some prefixes."""
        block = Block(self, rows)
        mask = block.networks()
        networks = block.size if mask is None else int(np.count_nonzero(mask))
        if self.tail_rises is not None and mask is not None:
            valid = np.ones(1, np.bool_) if self.tail_valid is None else self.tail_valid[self.whole[rows]]
            total = int(np.count_nonzero(np.broadcast_to(valid, mask.shape)))
            self.falling += total - networks
        allowed = mask
        for i, limit in enumerate(self.query.limits):
            inside = limit.kept(block)
            if allowed is not None:
                inside = inside & allowed
            self.excluded[i] += networks - int(np.count_nonzero(inside))
            mask = inside if mask is None else mask & inside
        kept = np.arange(block.size) if mask is None else np.flatnonzero(mask)
        if len(kept):
            self.kept += len(kept)
            self._enter(block.at(kept))
        elif not self.kept and networks:
            self._see_nearest(block, allowed)

    def _enter(self, chosen: "Chosen") -> None:
        """Let variants within the limits compete."""
        factor = chosen.factor() if self.query.needs_factor else 0.0
        numbers = chosen.numbers()
        self.front.add(self.query.losses(chosen, factor), numbers)
        if self.query.top:
            self.top.add(self.query.rank_loss(chosen, factor), numbers)

    def _see_nearest(self, block: "Block", allowed: Flags | None) -> None:
        """Note the variant that comes nearest to the limits."""
        miss = np.zeros((1, 1))
        for limit in self.query.limits:
            miss = np.maximum(miss, limit.miss(block))
        flat = np.where(True if allowed is None else allowed, miss, np.inf).ravel()
        place = int(flat.argmin())
        found = (float(flat[place]), int(block.at(np.array([place])).numbers()[0]))
        self.nearest = min(self.nearest or found, found)


class Block(Mapping[str, Any]):
    """Partials of the variants of some prefixes, (prefixes, last stage's choices), each when it is wanted."""

    def __init__(self, sweep: ChunkSweep, rows: slice) -> None:
        self.sweep, self.rows = sweep, rows
        self.row = sweep.row[rows]
        self.size = len(self.row) * sweep.layout.tail
        self.dense: dict[str, Ints] = {}

    def __getitem__(self, name: str) -> Ints:
        if name not in self.dense:
            found = self.sweep.tail[name].take(self.row, axis=0)
            join_into(name, found, self.sweep.sums[name][self.rows, None])
            self.dense[name] = found
        return self.dense[name]

    def __iter__(self) -> Any:
        return iter(self.sweep.tail)

    def __len__(self) -> int:
        return len(self.sweep.tail)

    def networks(self) -> Flags | None:
        """Return which variants are networks whose channels rise where they must; None is all."""
        valid, rises = self.sweep.tail_valid, self.sweep.tail_rises
        if valid is None and rises is None:
            return None
        mask = np.ones((len(self.row), self.sweep.layout.tail), dtype=np.bool_)
        if valid is not None:
            mask &= valid[self.sweep.whole[self.rows]]
        if rises is not None:
            mask &= rises[self.row]
        return mask

    def at(self, places: Ints) -> "Chosen":
        """Return some of the variants, by their place in the flattened block."""
        return Chosen(self, places)


class Chosen(Mapping[str, Any]):
    """Partials of some variants of a block, one-dimensional."""

    def __init__(self, block: Block, places: Ints) -> None:
        self.block, self.places = block, places
        self.is_all = len(places) == block.size
        self.line, self.column = np.divmod(places, block.sweep.layout.tail)

    def __getitem__(self, name: str) -> Ints:
        block = self.block
        if self.is_all or name in block.dense:
            flat = block[name].ravel()
            return flat if self.is_all else flat[self.places]
        tail = block.sweep.tail[name][block.row[self.line], self.column]
        return joined(name, block.sweep.sums[name][block.rows][self.line], tail)

    def __iter__(self) -> Any:
        return iter(self.block)

    def __len__(self) -> int:
        return len(self.block)

    def factor(self) -> Any:
        """Return log(r^2 c) of each variant's last map."""
        whole = self.block.sweep.whole[self.block.rows][self.line]
        return self.block.sweep.tables.factor[whole, self.column]

    def numbers(self) -> Ints:
        """Return the variants' places in the space."""
        sweep = self.block.sweep
        first = sweep.chunk.first * sweep.layout.prefixes
        return (sweep.places[self.block.rows][self.line] + first) * sweep.layout.tail + self.column


def joined(name: str, a: Any, b: Any) -> Any:
    """Put the partials of two stages together."""
    return np.maximum(a, b) if name == "peak" else a + b


def join_into(name: str, a: Ints, b: Ints) -> None:
    """Put the partials of two stages together, in the first one's place."""
    if name == "peak":
        np.maximum(a, b, out=a)
    else:
        np.add(a, b, out=a)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Variants at chosen places, evaluated one by one."""

    places: Ints
    sums: dict[str, Ints]
    networks: Flags  # valid
    rising: Flags
    factor: NDArray[np.float64]


def evaluated(query: Query, evaluator: Evaluator, places: Ints) -> Drawn:
    """Return the partials of variants at some places (int64), by the formulas themselves."""
    options: list[Ints] = []
    rest = places
    for size in reversed(query.space.shape[1:]):
        rest, option = np.divmod(rest, size)
        options.insert(0, option)
    whole = {key: each.reshape(-1, 1, 1) for key, each in digits_of(evaluator.whole, rest).items()}
    sums: dict[str, Ints] = {}
    valid = rising = np.ones(len(places), dtype=np.bool_)
    before, last_dim = dict(whole), None
    for i in range(NUM_STAGES):
        own = digits_of(evaluator.own[i], options[i])
        digits = whole | {key: each.reshape(-1, 1, 1) for key, each in own.items()}
        part, part_valid, dim = evaluator.stage(i, digits, before)
        flat = {name: np.broadcast_to(each.ravel(), len(places)) for name, each in part.items()}
        sums = {name: joined(name, sums[name], each) if i else each for name, each in flat.items()}
        valid = valid & np.broadcast_to(part_valid.ravel(), len(places))
        dim = np.broadcast_to(dim.ravel(), len(places))
        if last_dim is not None:
            rising = rising & (last_dim <= dim)
        before, last_dim = digits, dim
    return Drawn(
        places=places,
        sums=sums,
        networks=valid,
        rising=rising,
        factor=last_factor(dim, query.img_size),
    )


def part_of(query: Query, evaluator: Evaluator, number: int, places: Ints, hints: Hints) -> Part:
    """Return what was found at some places."""
    drawn = evaluated(query, evaluator, places)
    allowed = drawn.networks & (drawn.rising | (not query.rising))
    inside = [limit.kept(drawn.sums) for limit in query.limits]
    mask = np.logical_and.reduce([allowed, *inside])
    front, top = Front(len(query.objectives), hints.front), Top(query.top, hints.worst)
    kept = np.flatnonzero(mask)
    if len(kept):
        sums = {name: each[kept] for name, each in drawn.sums.items()}
        factor, numbers = drawn.factor[kept], places[kept]
        front.add(query.losses(sums, factor), numbers)
        top.add(query.rank_loss(sums, factor), numbers)
        front.merge()
        top.merge()
    networks = int(np.count_nonzero(allowed))
    nearest = None
    if not len(kept) and networks:
        miss = np.maximum.reduce([limit.miss(drawn.sums) for limit in query.limits])
        miss = np.where(allowed, miss, np.inf)
        nearest = (float(miss.min()), int(places[miss.argmin()]))
    return Part(
        number=number,
        seen=len(places),
        invalid=int(np.count_nonzero(~drawn.networks)),
        falling=int(np.count_nonzero(drawn.networks & ~allowed)),
        kept=len(kept),
        excluded=tuple(networks - int(np.count_nonzero(allowed & each)) for each in inside),
        front=tuple(zip(front.numbers.tolist(), map(tuple, front.losses.tolist()), strict=True)),
        top=tuple(zip(top.numbers.tolist(), top.losses.tolist(), strict=True)),
        nearest=nearest,
    )


def hints_of(query: Query, evaluator: Evaluator) -> Hints:
    """Look at a small sample of the space, always the same one."""
    places = np.random.default_rng(0).integers(0, query.space.size, SAMPLE, dtype=np.int64)
    found = part_of(query, evaluator, 0, np.unique(places), Hints())
    return Hints(
        front=np.array([losses for _, losses in found.front]) if found.front else None,
        worst=found.top[-1][1] if len(found.top) == query.top > 0 else np.inf,
    )
