"""From a MODEL argument to models: a variant, a group, a published model, or a library's names.

The groups are rules over the published table. GMACs are those of the published evaluation, at its size (such
as 256 px), also when models are compared at another size. Distilled models belong to groups (`Published.mark`
marks them); SAEViT's own claims do not.

- `core`: the table's tier of that name: a set that spans families and sizes, all buildable.
- `conv`, `hybrid`: the core models without, and with both convolution and attention (or a state space).
- `mobile`: the core models of fewer than 0.6 GMACs, the "mobile setting" of the literature since NASNet.
- `class-0.8`, `class-1.3`: every published model within 25 % of that many GMACs, of any tier. The relatives
  among them have only figures unless birder is installed and has them, and one network may be there with
  several trainings (`adapters.map_same_networks`).
"""

from collections.abc import Collection
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import inf, nextafter
from typing import NamedTuple

from saevit.baselines.adapters import ADAPTERS, Adapter, split_prefix
from saevit.baselines.published import Published, find_row, index_rows, load_rows
from saevit.errors import OptionError, nearest

BAND = 0.25  # of a class's budget, either way
MOBILE_GMACS = 0.6


class Group(NamedTuple):
    """A rule over the published rows, and one line that states it. GMACs are those of `Published.plotted`."""

    rule: str
    tiers: tuple[str, ...] = ("core",)
    arch_types: tuple[str, ...] = ()  # none: any
    low: float = 0  # GMACs
    high: float = inf

    def holds(self, row: Published) -> bool:
        """Return whether a row belongs to the group."""
        gmacs = row.plotted.gmacs
        fits = gmacs is not None and self.low <= gmacs <= self.high
        return fits and row.tier in self.tiers and (not self.arch_types or row.arch_type in self.arch_types)


def make_class(budget: float) -> Group:
    """Return the published models near a budget in GMACs."""
    low, high = round((1 - BAND) * budget, 6), round((1 + BAND) * budget, 6)
    rule = f"published models of {low:g} to {high:g} GMACs"
    return Group(rule, tiers=("core", "extended", "relative"), low=low, high=high)


GROUPS = {
    "core": Group("a set that spans families and sizes"),
    "conv": Group("core models of convolutions alone", arch_types=("conv", "conv (reparam)")),
    "hybrid": Group(
        "core models of convolution with attention or a state space",
        arch_types=("hybrid", "hybrid (reparam)", "ssm hybrid"),
    ),
    "mobile": Group(f"core models of fewer than {MOBILE_GMACS:g} GMACs", high=nextafter(MOBILE_GMACS, 0)),
    "class-0.8": make_class(0.8),
    "class-1.3": make_class(1.3),
}


def list_group(name: str) -> tuple[str, ...]:
    """Return the model ids of a group, sorted.

    Raises:
        OptionError: there is no such group.
    """
    if name not in GROUPS:
        raise OptionError(f"{name!r} is not a group: {nearest(name, GROUPS)}")
    return tuple(sorted(row.model_id for row in load_rows() if GROUPS[name].holds(row)))


def expand_model(text: str, presets: Collection[str]) -> tuple[str, ...]:
    """Return the models that one MODEL argument names.

    | text | subjects |
    | --- | --- |
    | `PRESET[:key=value,...]` | itself; `parse` checks the keys |
    | a group's name | its models |
    | `timm:NAME[.TAG]` | itself, once timm knows it |
    | `birder:NAME` | itself, once birder knows it |
    | `timm:GLOB`, `birder:GLOB` (`*`, `?`, `[...]`) | the models of such names, sorted; these have no tags |
    | a published model's id, or its timm name alone (`published.find_row`) | `timm:ID` |
    | a published model that birder has, where birder is installed | `birder:NAME` |
    | any other published model | its id: it has figures, and cannot be built |

    Args:
        text: the argument.
        presets: names of the SAEViT variants.

    Raises:
        OptionError: it is none of these; names the nearest.
        MissingPackageError: the library is needed to look a name up, and is not there.
    """
    text = text.strip()
    if text.partition(":")[0].strip() in presets:
        return (text,)
    if text in GROUPS:
        return tuple(row.subject for name in list_group(text) if (row := find_row(name)))
    if row := find_row(text):
        return (text if split_prefix(text) else row.subject,)
    if library := split_prefix(text):
        return match_names(*library)
    raise describe_unknown(text, presets)


def match_names(adapter: Adapter, pattern: str) -> tuple[str, ...]:
    """Return the subjects of a library's name or glob."""
    prefix = adapter.PREFIX
    if not pattern:
        examples = " or ".join(prefix + example for example in adapter.EXAMPLES)
        raise OptionError(f"{prefix} names no model: for example {examples}")
    if not set(pattern) & set("*?["):
        adapter.check_model(pattern)
        return (prefix + pattern,)
    names = adapter.list_names()
    if found := [name for name in names if fnmatchcase(name, pattern)]:
        return tuple(prefix + name for name in found)
    families = {name.partition("_")[0] for name in names}
    close = get_close_matches(pattern.partition("_")[0], families, cutoff=0)
    globs = " or ".join(f"{prefix}{family}*" for family in close)
    raise OptionError(f"{prefix}{pattern} matches no {prefix.removesuffix(':')} model: nearest are {globs}")


def describe_unknown(text: str, presets: Collection[str]) -> OptionError:
    """Return the error for a text that names nothing."""
    problem = f"{text or 'empty text'!r} is no variant, group or published model"
    others = " or ".join(f"{prefix}NAME" for prefix in ADAPTERS)
    close = get_close_matches(text.partition(":")[0], [*presets, *GROUPS, *index_rows()])
    if close:
        return OptionError(f"{problem} (others: {others}): did you mean {' or '.join(close)}?")
    choices = f"a variant of {', '.join(presets)}, a group ({', '.join(GROUPS)}), a published model"
    return OptionError(f"{problem}: choose {choices}, or {others}")
