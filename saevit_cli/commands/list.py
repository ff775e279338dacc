"""`saevit list`."""

from saevit_cli.output import show


def list_variants() -> None:
    """Show the presets, and the keys that make variants of them."""
    from saevit.report.views.listing import tabulate_keys, tabulate_presets

    show((tabulate_presets(), tabulate_keys()))
