"""Names to subjects: one MODEL argument may be a variant, a group, a published model or a library's names.

The groups are rules over the published table. GMACs are as plotted (`Published.plotted`), at the size of the
evaluation: a model evaluated at 256 px stands by what it costs there, whatever size it is compared at later.
Distilled models are in (`Published.mark` says so); SAEViT's own claims are in none.

- `core`: the table's tier of that name: a set that spans families and sizes, all buildable.
- `conv`, `hybrid`: the core models without, and with both convolution and attention (or a state space).
- `mobile`: the core models of fewer than 0.6 GMACs, the "mobile setting" of the literature since NASNet.
- `class-0.8`, `class-1.3`: every published model within 25 % of that many GMACs, whatever its tier; the
  relatives among them have figures alone unless birder is installed and has them, and one network may stand
  there with several trainings (`adapters.map_same_networks`).
"""

from collections.abc import Callable, Collection
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from saevit.baselines.adapters import ADAPTERS, Adapter, split_prefix
from saevit.baselines.published import Published, find, index, load
from saevit.errors import OptionError, nearest

BAND = 0.25  # of a class's budget, either way
MOBILE_GMACS = 0.6
CONV = ("conv", "conv (reparam)")
HYBRID = ("hybrid", "hybrid (reparam)", "ssm hybrid")


class Group(NamedTuple):
    """Which rows belong, and how that is said in one line."""

    holds: Callable[[Published], bool]
    rule: str


def is_core(row: Published) -> bool:
    """Whether the row is of the core set."""
    return row.tier == "core"


def is_core_conv(row: Published) -> bool:
    """Whether a core model is a pure convolutional network."""
    return is_core(row) and row.arch_type in CONV


def is_core_hybrid(row: Published) -> bool:
    """Whether a core model mixes convolution with attention or a state space."""
    return is_core(row) and row.arch_type in HYBRID


def is_mobile(row: Published) -> bool:
    """Whether a core model is below the mobile setting's limit."""
    gmacs = row.plotted.gmacs
    return is_core(row) and gmacs is not None and gmacs < MOBILE_GMACS


def near(budget: float) -> Group:
    """Return the class around a budget in GMACs."""
    low, high = round((1 - BAND) * budget, 6), round((1 + BAND) * budget, 6)

    def holds(row: Published) -> bool:
        gmacs = row.plotted.gmacs
        return row.tier != "claim" and gmacs is not None and low <= gmacs <= high

    return Group(holds, f"published models of {low:g} to {high:g} GMACs")


GROUPS = {
    "core": Group(is_core, "a set that spans families and sizes"),
    "conv": Group(is_core_conv, "core models of convolutions alone"),
    "hybrid": Group(is_core_hybrid, "core models of convolution with attention or a state space"),
    "mobile": Group(is_mobile, f"core models of fewer than {MOBILE_GMACS:g} GMACs"),
    "class-0.8": near(0.8),
    "class-1.3": near(1.3),
}


def group(name: str) -> tuple[str, ...]:
    """Return the model ids of a group, sorted.

    Raises:
        OptionError: there is no such group.
    """
    if name not in GROUPS:
        raise OptionError(f"{name!r} is not a group: {nearest(name, GROUPS)}")
    return tuple(sorted(row.model_id for row in load() if GROUPS[name].holds(row)))


def resolve(text: str, presets: Collection[str]) -> tuple[str, ...]:
    """Return the subjects that one MODEL argument stands for.

    | text | subjects |
    | --- | --- |
    | `PRESET[:key=value,...]` | itself; `parse` checks the keys |
    | a group's name | its models |
    | `timm:NAME[.TAG]` | itself, once timm knows it |
    | `birder:NAME` | itself, once birder knows it |
    | `timm:GLOB`, `birder:GLOB` (`*`, `?`, `[...]`) | the models of such names, sorted; these have no tags |
    | a published model's id, or its timm name alone (`published.find`) | `timm:ID` |
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
        return tuple(row.subject for name in group(text) if (row := find(name)))
    if row := find(text):
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
    close = get_close_matches(text.partition(":")[0], [*presets, *GROUPS, *index()])
    if close:
        return OptionError(f"{problem} (others: {others}): did you mean {' or '.join(close)}?")
    choices = f"a variant of {', '.join(presets)}, a group ({', '.join(GROUPS)}), a published model"
    return OptionError(f"{problem}: choose {choices}, or {others}")
