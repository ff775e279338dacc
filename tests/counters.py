"""The counters that run a network, by name."""

from saevit.count.receipt import TRACING, load_counter

COUNTERS = {name: load_counter(name) for name in TRACING}
