"""What there is to choose from: the presets and the grammar, as tables."""

from saevit.count.cost import count_network
from saevit.report.columns import Table, text_columns
from saevit.report.units import giga, scaled
from saevit.variant import KEYS, PRESETS

IMG_SIZE = (224, 224)


def presets_table() -> Table:
    """Every preset with its sizes and exact cost."""
    rows = []
    for name, spec in PRESETS.items():
        cost = count_network(spec, IMG_SIZE)
        sizes = ("-".join(map(str, sizes)) for sizes in (spec.dims, spec.depths, spec.num_heads, spec.rates))
        rows.append((name, *sizes, scaled(cost.params), giga(cost.macs)))
    return Table(
        title=f"Presets (GMACs at {IMG_SIZE[0]} x {IMG_SIZE[1]} px, counted by analytic)",
        columns=text_columns("preset", "dims", "depths", "heads", "rates", ">parameters", ">GMACs"),
        rows=tuple(rows),
    )


def keys_table() -> Table:
    """The grammar."""
    return Table(
        title="Keys: PRESET[:key=value,...], for example saevit_small:width=1.25,rates=8-4-2-1,ffn=mlp",
        columns=text_columns("key", "value", "meaning"),
        rows=tuple((name, key.form, key.help) for name, key in KEYS.items()),
        notes=("four values joined by - are one per stage; one value stands for all four",),
    )
