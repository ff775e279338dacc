"""Compare the time of an attention overview with a plain forward pass, and report the peak memory.

    python benchmarks/attention_capture.py [VARIANT] [IMG_SIZE] [ROUNDS]

The overview includes everything except the figure: drawing the image, the recorded pass, maps, numbers and
redundancy. Both run in every round. Prints Markdown for docs/benchmarks.md.
"""

import resource
import sys
import time
from collections.abc import Callable

import torch

from saevit.attention.drawing import NAME, draw_scene
from saevit.attention.look import Choice, look_at
from saevit.attention.network import open_network
from saevit.attention.photo import fit_image, make_input
from saevit.loading import LoadedNetwork
from saevit.measure.environment import environment
from saevit.runs.statistics import median, ratio
from saevit.variant import parse

MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def rounds_of(net: LoadedNetwork, rounds: int) -> tuple[list[float], list[float]]:
    """Time overview and plain pass in turn, after one of each."""
    x = make_input(fit_image(draw_scene(), net.about.img_size, NAME), net.about)
    choice = Choice(views=("overview",))

    def plain() -> None:
        with torch.inference_mode():
            net.model(x)

    def overview() -> None:
        look_at(net, [], choice)

    plain()
    overview()
    pairs = [(seconds(overview), seconds(plain)) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def main(variant: str, side: int, rounds: int) -> None:
    """Measure one variant at one size."""
    net = open_network(parse(variant), (side, side))
    looked, plain = rounds_of(net, rounds)
    found = ratio(looked, plain)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
    print(f"{variant}, {side} px, {rounds} rounds, {torch.get_num_threads()} threads; {environment().cpu}\n")
    print("| plain pass, ms | overview without figure, ms | ratio | most memory |\n| --- | --- | --- | --- |")
    interval = f"{found.median:.2f} [{found.low:.2f}, {found.high:.2f}]"
    print(f"| {median(plain) * 1e3:.1f} | {median(looked) * 1e3:.1f} | {interval} | {peak / 1e9:.2f} GB |")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "saevit_tiny",
        int(sys.argv[2]) if len(sys.argv) > 2 else 224,
        int(sys.argv[3]) if len(sys.argv) > 3 else 15,
    )
