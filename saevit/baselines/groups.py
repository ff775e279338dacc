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

from saevit.baselines import birder_models, timm_models
from saevit.baselines.adapters import LibraryModel, read_library_model
from saevit.baselines.published import Published, find_row, load_rows
from saevit.errors import OptionError, nearest

OURS = "saevit"  # how the name of each preset begins
LONGEST = 60  # characters of a name in an error
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

    | text | models |
    | --- | --- |
    | `PRESET[:key=value,...]` | itself; `parse` checks the keys |
    | a group's name | its models |
    | a published model's id, or its timm name alone (`published.find_row`) | `timm:ID` |
    | a published model that birder has, where birder is installed | `birder:NAME` |
    | any other published model | its id: it has figures, and cannot be built |
    | `[timm:]NAME[.TAG]`, `birder:NAME`, each with or without `:classes=N` | itself, with its prefix |
    | `[timm:]PATTERN`, `birder:PATTERN` (`*`, `?`, `[...]`) | the models of such names, without tags |

    A pattern without a prefix finds presets too.

    Args:
        text: the argument.
        presets: names of the SAEViT variants.

    Raises:
        SaevitError: it is none of these (names the nearest), or has a key that such a model does not have.
        MissingPackageError: the library is needed to look a name up, and is not there.
    """
    text = text.strip()
    if text.partition(":")[0].strip() in presets:
        return (text,)
    if text in GROUPS:
        return tuple(row.subject for name in list_group(text) if (row := find_row(name)))
    library = read_library_model(text)
    if row := find_row(text):
        return (text if library else row.subject,)
    if set(text) & set("*?["):
        prefix = library.adapter.PREFIX if library else ""
        pattern = library or read_library_model(timm_models.PREFIX + text)
        assert pattern
        ours = [] if library else [name for name in presets if fnmatchcase(name, text)]
        return (*ours, *match_names(pattern, prefix, is_needed=not ours))
    if library:
        check_library_model(library)
        return (str(library),)
    return (name_model(text, [*presets, *GROUPS]),)


def match_names(pattern: LibraryModel, prefix: str, *, is_needed: bool) -> tuple[str, ...]:
    """Return the models of a library whose names match a pattern, sorted; `prefix` is as the user wrote it.

    Raises:
        OptionError: there are none, and one is needed.
    """
    adapter, glob, _ = pattern
    names = adapter.list_names()
    found = [name for name in names if fnmatchcase(name, glob)]
    if found or not is_needed:
        return tuple(str(pattern._replace(name=name)) for name in found)
    families = {name.partition("_")[0] for name in names}
    close = get_close_matches(glob.partition("_")[0], families, cutoff=0)
    globs = " or ".join(f"{prefix}{family}*" for family in close)
    library = adapter.PREFIX.removesuffix(":")
    raise OptionError(f"{prefix}{glob} matches no {library} model: nearest are {globs}")


def check_library_model(model: LibraryModel) -> None:
    """Refuse a model that its library does not know."""
    adapter, name, _ = model
    if not name:
        examples = " or ".join(adapter.PREFIX + example for example in adapter.EXAMPLES)
        raise OptionError(f"{adapter.PREFIX} names no model: for example {examples}")
    adapter.check_model(name)


def name_model(text: str, others: Collection[str]) -> str:
    """Return the one text of a model that another library builds: `resnet18` is `timm:resnet18`.

    A text that has a prefix is not looked up. timm is imported only for a name without published figures.

    Args:
        text: a name with or without the prefix `timm:`, and `:classes=N` behind it or not.
        others: names that mean something else and are offered where nothing has this name.

    Raises:
        OptionError: nothing has this name, or it has only published figures.
    """
    text = text.strip()
    if library := read_library_model(text):
        return str(library)
    name, colon, keys = text.partition(":")
    row = find_row(name)
    if row and not row.timm_name:
        if row.subject == row.model_id:
            install = f"pip install 'saevit[{birder_models.EXTRA}]' brings one" if row.birder_name else "none"
            raise OptionError(f"{name} has published figures, and no network here: {install}")
        return str(read_library_model(row.subject + colon + keys))
    is_of_timm = row or (name and not name.startswith(OURS) and timm_models.has_model(name))
    if not is_of_timm:
        raise describe_unknown(name, others)
    library = read_library_model(timm_models.PREFIX + text)
    assert library
    if not row:
        check_library_model(library)
    return str(library)


def describe_unknown(name: str, others: Collection[str]) -> OptionError:
    """Return the error for a name that nothing has; timm's names are not looked up for one of ours."""
    if not name:
        return OptionError("a model's name is empty: for example saevit_tiny or resnet18")
    published = [row.model_id.partition(".")[0] if row.timm_name else row.model_id for row in load_rows()]
    of_timm = [] if name.startswith(OURS) else timm_models.list_names()
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    return OptionError(f"{shown!r} is not a model: {nearest(name, [*others, *published, *of_timm])}")
