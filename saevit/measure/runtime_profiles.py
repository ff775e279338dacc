"""The operators that a runtime runs, by its own profile, mapped to those of the ONNX graph by name."""

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from saevit.errors import need
from saevit.export.formats import EXTRA, silence_exporters
from saevit.export.openvino import compile_openvino, make_openvino_model
from saevit.measure.onnx_graph import CONVOLUTION, PRODUCT, GraphNode, OnnxGraph, name_kind
from saevit.measure.runtimes import bind_images, open_session
from saevit.measure.timer import time_call

TIMED = "_kernel_time"  # ends the name of an operator in the profile of ONNX Runtime
PASSES = 10  # of a sample: few, as a profile keeps every operator in every pass
BLOCKED = "_nchwc"  # ends the name of an operator whose channels ONNX Runtime keeps in blocks


Times = Mapping[str, tuple[str, float]]  # by the name of an operator


@dataclass(frozen=True, kw_only=True)
class RunOperator:
    """One operator that a runtime runs, and its times."""

    name: str  # in the runtime
    kind: str
    path: str  # of its module; "" where its name says none
    macs: int  # of the operators of the graph that it computes
    moved_bytes: int  # that it reads and writes, weights included, as if no cache held them
    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """A network in a runtime that profiles it."""

    sample: Callable[[], float]  # seconds of one pass: the mean of PASSES, after an untimed one
    read: Callable[[], tuple[RunOperator, ...]]  # ends the profile; the times of all samples


@contextmanager
def profile_onnxruntime(
    graph: OnnxGraph, data: bytes, images: np.ndarray, threads: int
) -> Iterator[Profiled]:
    """Profile a session of ONNX Runtime; operators have a time for each pass."""
    with tempfile.TemporaryDirectory(prefix="saevit-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        with silence_exporters():
            session = open_session(data, threads, profile=Path(folder) / "profile", optimised=optimised)
        call = bind_images(session, images)

        def sample() -> float:
            call()
            return time_call(call, lambda: None, 0.0, PASSES).seconds

        yield Profiled(
            sample=sample,
            read=lambda: read_onnxruntime(graph, Path(session.end_profiling()), optimised),
        )


def read_onnxruntime(graph: OnnxGraph, profile: Path, optimised: Path) -> tuple[RunOperator, ...]:
    """Return the operators of a profile; the optimised graph has the names of what they read and write."""
    onnx = need("onnx", EXTRA)
    nodes = {node.name: node for node in onnx.load(optimised, load_external_data=False).graph.node}
    events: dict[str, list[Any]] = {}
    for event in json.loads(profile.read_bytes()):
        if event["cat"] == "Node" and event["name"].endswith(TIMED):
            events.setdefault(event["name"].removesuffix(TIMED), []).append(event)
    taken: set[str] = set()
    found = []
    for name, runs in events.items():
        args = runs[0]["args"]
        kind, node = name_kind(args["op_name"]), nodes.get(name)
        written = [*(node.output if node else ()), name.removesuffix(BLOCKED)]
        origin = graph.nodes.get(name)
        if kind in (CONVOLUTION, PRODUCT):
            origin = next(filter(None, map(graph.find_contraction, written)), None)
            origin = None if origin is None or origin.name in taken else origin
        taken |= {origin.name} if origin else set()
        weights = max(
            int(args["parameter_size"]), origin.weight_bytes if origin else 0
        )  # packed ones miss there
        values = [*written, *(node.input if node else ())]
        found.append(
            RunOperator(
                name=name,
                kind=origin.kind if origin and kind in (CONVOLUTION, PRODUCT) else kind,
                path=origin.path if origin and origin.path else graph.find_path(values),
                macs=origin.macs if origin else 0,
                moved_bytes=int(args["activation_size"]) + weights + int(args["output_size"]),
                seconds=tuple(run["dur"] / 1e6 for place, run in enumerate(runs) if place % (1 + PASSES)),
            )
        )
    return tuple(found)


@contextmanager
def profile_openvino(graph: OnnxGraph, data: bytes, images: np.ndarray, threads: int) -> Iterator[Profiled]:
    """Profile models that OpenVINO compiles anew for each sample; operators have a time for each pass.

    OpenVINO keeps the mean of each operator over all passes of a compiled model, in whole microseconds.
    """
    openvino = need("openvino", EXTRA)
    with silence_exporters():
        model = make_openvino_model(data)
    means: list[list[Times]] = []  # of each sample, after each of its passes
    compiled: list[Any] = []

    def sample() -> float:
        compiled[:] = [compile_openvino(model, threads, is_profiled=True)]
        request = compiled[0].create_infer_request()
        request.set_input_tensor(openvino.Tensor(images, shared_memory=True))
        request.infer()
        means.append([read_means(request)])
        seconds = []
        for _ in range(PASSES):
            seconds.append(time_call(request.infer, lambda: None, 0.0).seconds)
            means[-1].append(read_means(request))
        return fmean(seconds)

    # A model that OpenVINO frees leaves its thread with a signal stack that is freed too: Ctrl-C would crash.
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield Profiled(
            sample=lambda: thread.submit(sample).result(),
            read=lambda: read_openvino(graph, means, compiled[0].get_runtime_model()),
        )


def read_means(request: Any) -> Times:
    """Return the type of each operator and its mean seconds over all passes so far."""
    return {
        info.node_name: (info.node_type, info.real_time.total_seconds()) for info in request.profiling_info
    }


def read_openvino(graph: OnnxGraph, means: Sequence[Sequence[Times]], model: Any) -> tuple[RunOperator, ...]:
    """Return the operators that ran, with their sizes and origins from the model that runs."""
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    operators = {name: kind for name, (kind, _) in means[0][0].items()}
    seconds = {
        name: [t for each in means for t in split_means([m[name][1] for m in each])] for name in operators
    }
    operators = {name: kind for name, kind in operators.items() if any(seconds[name])}
    found = []
    for name, operator in operators.items():
        node = nodes.get(name)
        origins = list_origins(graph, node)
        kind = name_kind(operator)
        if kind in (CONVOLUTION, PRODUCT):
            kind = next((origin.kind for origin in origins if origin.macs), kind)
        found.append(
            RunOperator(
                name=name,
                kind=kind,
                path=find_origin_path(graph, node),
                macs=sum(origin.macs for origin in origins),
                moved_bytes=sum(map(count_bytes, (*node.inputs(), *node.outputs()))) if node else 0,
                seconds=tuple(seconds[name]),
            )
        )
    return tuple(found)


def split_means(means: Sequence[float]) -> Iterator[float]:
    """Yield the time of each pass but the first from the means over the first 1, 2, ... passes."""
    for passes, (before, after) in enumerate(pairwise(means), 1):
        yield max(0.0, (passes + 1) * after - passes * before)


def list_origins(graph: OnnxGraph, node: Any) -> list[GraphNode]:
    """Return the operators of the graph that a node of OpenVINO computes, those with MACs first."""
    names = str(node.get_rt_info()["originalLayersNames"].value).split(",") if node else []
    origins = [origin for name in names if (origin := graph.find(name))]
    return sorted(origins, key=lambda origin: not origin.macs)


def find_origin_path(graph: OnnxGraph, node: Any) -> str:
    """Return the module of a node, or of what wrote its input where OpenVINO inserted the node itself."""
    while node is not None:
        if path := next((origin.path for origin in list_origins(graph, node) if origin.path), ""):
            return path
        node = node.input(0).get_source_output().get_node() if node.inputs() else None
    return ""


def count_bytes(port: Any) -> int:
    """Return the size of what passes through an input or output of a node."""
    return math.prod(port.get_partial_shape().to_shape()) * int(port.get_element_type().size)


PROFILES: dict[str, Callable[[OnnxGraph, bytes, np.ndarray, int], AbstractContextManager[Profiled]]] = {
    "onnxruntime": profile_onnxruntime,
    "openvino": profile_openvino,
}
