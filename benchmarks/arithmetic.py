"""What one thread of ONNX Runtime multiplies in a second: float32 beside int8, at the shapes of the shipped network.

    python -m benchmarks.arithmetic [--tokens 256] [--runs 100] [--bundle FOLDER]

The ratio bounds how many times faster an int8 network can be than the same weights in float32, whatever stands around it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.measure import table
from nlp_compliance.settings import Settings

# Step of the int8 weights, whose spread is 0.05.
_SCALE = 0.002


def shapes(model: Path) -> list[tuple[tuple[int, int], int]]:
    """((rows, columns), how often) of the network's int8 weight matrices, the most work first."""
    graph = onnx.load(str(model)).graph
    weights = {i.name: tuple(i.dims) for i in graph.initializer if len(i.dims) == 2}
    products = [node for node in graph.node if "MatMul" in node.op_type]
    used = Counter(weights[name] for node in products for name in node.input if name in weights)
    return sorted(used.items(), key=lambda item: -item[0][0] * item[0][1] * item[1])


def float_session(rows: int, columns: int) -> onnxruntime.InferenceSession:
    weights = numpy_helper.from_array(_weights(rows, columns), "w")
    return _session([helper.make_node("MatMul", ["x", "w"], ["y"])], [weights], rows, columns)


def int8_session(rows: int, columns: int) -> onnxruntime.InferenceSession:
    """Activations are scaled on the fly, as in the shipped network."""
    weights = np.clip(np.round(_weights(rows, columns) / _SCALE), -127, 127).astype(np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["quantized", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["quantized", "w", "zero", "w_zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["scale", "w_scale"], ["both"]),
        helper.make_node("Mul", ["real", "both"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array(0, np.int8), "w_zero"),
        numpy_helper.from_array(np.array(_SCALE, np.float32), "w_scale"),
    ]
    return _session(nodes, constants, rows, columns)


def _weights(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.05, (rows, columns)).astype(np.float32)


def _session(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], rows: int, columns: int
) -> onnxruntime.InferenceSession:
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", n])
        for name, n in (("x", rows), ("y", columns))
    ]
    graph = helper.make_graph(list(nodes), "matrix", sides[:1], sides[1:], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def seconds(session: onnxruntime.InferenceSession, x: np.ndarray, runs: int) -> float:
    """Of one run, the least of several: what others on the machine took does not count."""
    least = float("inf")
    for _ in range(runs):
        start = perf_counter()
        session.run(None, {"x": x})
        least = min(least, perf_counter() - start)
    return least


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arithmetic", description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--bundle", type=Path, default=Settings.from_env().bundle)
    options = parser.parse_args(argv)
    cells, whole = [], {"float32": 0.0, "int8": 0.0}
    for (rows, columns), times in shapes(options.bundle / "model.onnx"):
        x = np.random.default_rng(1).normal(0, 1, (options.tokens, rows)).astype(np.float32)
        took = {
            "float32": seconds(float_session(rows, columns), x, options.runs),
            "int8": seconds(int8_session(rows, columns), x, options.runs),
        }
        rates = [options.tokens * rows * columns / s / 1e9 for s in took.values()]
        cells.append(
            [f"{rows} × {columns}", times, *(f"{r:.0f}" for r in rates), f"{took['float32'] / took['int8']:.2f}"]
        )
        for name in whole:
            whole[name] += times * took[name]
    cells.append(
        ["a window", "", *(f"{1000 * s:.1f} ms" for s in whole.values()), f"{whole['float32'] / whole['int8']:.2f}"]
    )
    heads = ["matrix", "times", "float32, 10⁹ products/s", "int8, 10⁹ products/s", "int8 is … times as fast"]
    sys.stdout.write(table(heads, cells) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
