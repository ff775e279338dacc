"""Exact counts: each layer as operations, their sums, and three tracing counters that check them.

Before it come `saevit.variant` and `saevit.model`. After it, `saevit.models` counts what a user names.
"""
