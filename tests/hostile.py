"""Files that mean harm, or are broken: `python tests/hostile.py FOLDER` writes the corpus.

Deterministic; no data files are kept.  Every case has a folder of its own with ``m/model.onnx`` and,
beside ``m``, what nobody may read.  `LEGITIMATE` names the few that are odd and must work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from models import chain, listener, model, normal, value
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx import numpy_helper as arrays

Proto = Callable[[], ModelProto | bytes]
FLOAT, BOOL, INT64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
CASES: dict[str, Proto] = {}  # one file each
PLACES: dict[str, Callable[[Path], object]] = {}  # a folder with something special in it
LEGITIMATE = {
    "html in names", "chain of 3000 nodes", "weights that are infinite off the way",
    "if nested 20 deep", "split into 300", "layernorm with an empty name at the end",
    "external data, all well", "loop of 50 trips", "metadata of 3 MB", "labels nested deep",
    "checksum that is wrong", "metadata that are not UTF-8", "concat of 20000",
    "reflected 10^6 times", "many adds behind many moves", "average pool of stride 2^62",
    "if nested 31 deep", "old: 300 branches",
}  # fmt: skip


def node(op: str, inputs: str, outputs: str, **attrs: Any) -> NodeProto:
    """A node; names are separated by spaces, ``-`` is an empty one."""
    names = [["" if n == "-" else n for n in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *names, **attrs)


def case(name: str, *nodes: NodeProto, opset: int = 17, dims: Any = (1, 4), **weights: Any) -> None:
    """Register a graph from x to y with these weights."""
    made = list(nodes)
    CASES[name] = lambda: model(made, {"x": list(dims)}, {"y": None}, weights, opset=opset)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def added(name: str, *nodes: NodeProto, opset: int = 17, **weights: Any) -> None:
    """A graph that makes ``k`` of constants and adds its sum to x."""
    tail = node("Cast", "k", "f", to=FLOAT), node("ReduceSum", "f", "s"), node("Add", "x s", "y")
    case(name, *nodes, *tail, opset=opset, **weights)


def edited(name: str, change: Callable[[ModelProto], Any]) -> None:
    def build() -> ModelProto:
        proto = listener()
        change(proto)
        return proto

    CASES[name] = build


def weight(proto: ModelProto, name: str) -> TensorProto:
    return next(t for t in proto.graph.initializer if t.name == name)


# -- bytes that are no model, and graphs that break a rule

CASES["empty file"] = lambda: b""
CASES["text"] = lambda: b"hello, I am not a model\n" * 10
CASES["cut in half"] = lambda: listener().SerializeToString()[:900]
CASES["only an opset"] = lambda: helper.make_model(GraphProto(name="g")).SerializeToString()
CASES["100000 raw levels"] = lambda: b"\x3a\x02" * 100_000
CASES["a length beyond the end"] = lambda: b"\x3a\xff\xff\xff\xff\x07" + bytes(20)

case("cycle", node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "a", "y"))
case("self-loop", node("Add", "x y", "y"))
case("ghost", node("Add", "x ghost", "y"))
case("missing output", node("Relu", "x", "z"))
case("doubled name", node("Relu", "x", "y"), node("Abs", "x", "y"))
case("unknown op", node("Frobnicate", "x", "y"))
case("op of another domain", node("Relu", "x", "y", domain="com.evil"))
case("attribute of another type", node("Softmax", "x", "y", axis="left"))
case("too many inputs", node("Relu", "x x x", "y"))
case("no inputs", node("Add", "- -", "y"))
case("layernorm with an empty name", node("LayerNormalization", "x -", "y"))
case("layernorm with an empty name at the end", node("LayerNormalization", "x w -", "y"),
     w=normal(4))  # fmt: skip
case("op of our own", node("Gated", "x x", "y"))
case("html in names", node("Relu", "x", "<script>alert(1)</script>", name="<img src=x>"),
     node("Neg", "<script>alert(1)</script>", "y"))  # fmt: skip

edited("opset 999", lambda m: setattr(m.opset_import[0], "version", 999))
edited("opset -1", lambda m: setattr(m.opset_import[0], "version", -1))
edited("no import", lambda m: m.ClearField("opset_import"))
edited("two imports", lambda m: m.opset_import.add(domain="", version=11))
edited("ir version 999", lambda m: setattr(m, "ir_version", 999))
edited("dtype 999", lambda m: setattr(weight(m, "b3"), "data_type", 999))
edited("input dtype 999", lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 999))
edited("input that is a sequence",
       lambda m: m.graph.input[0].type.sequence_type.elem_type.tensor_type.SetInParent())  # fmt: skip
edited("negative dims", lambda m: weight(m, "b3").dims.__setitem__(0, -3))
edited("dims 2^62", lambda m: weight(m, "b3").dims.__setitem__(0, 2**62))
edited("dims that overflow", lambda m: weight(m, "b3").dims.extend([2**33, 2**33]))
edited("no dims, 2^31 zeros", lambda m: weight(m, "b3").dims.extend([0, 2**31]))
edited("weight of rank 9", lambda m: weight(m, "b3").dims.extend([1] * 8))
edited("weight of rank 10^6", lambda m: weight(m, "b3").dims.extend([1] * 10**6))
edited("doubled weight", lambda m: m.graph.initializer.append(m.graph.initializer[1]))
edited("name that is not UTF-8", lambda m: None)
CASES["name that is not UTF-8"] = lambda: (
    listener().SerializeToString().replace(b"logits", b"\xff\xfegits")
)
CASES["op that is not UTF-8"] = lambda: (
    listener().SerializeToString().replace(b"Relu", b"\xff\xfelu")
)
CASES["metadata that are not UTF-8"] = lambda: (
    listener().SerializeToString().replace(b"sample_rate", b"\xff\xfemple_rate")
)


def _weights_of(number: float) -> Callable[[ModelProto], None]:
    bad = np.array([0, number, 0], np.float32)
    return lambda m: weight(m, "b3").CopyFrom(arrays.from_array(bad, "b3"))


edited("NaN weight", _weights_of(np.nan))
edited("infinite weight", _weights_of(np.inf))
edited("weights that are infinite off the way",
       lambda m: m.graph.initializer.append(arrays.from_array(np.float32([np.inf]), "spare")))  # fmt: skip
edited("metadata of 3 MB", lambda m: m.metadata_props.add(key="k" * 1000, value="v" * 3_000_000))
edited("labels nested deep",
       lambda m: helper.set_model_props(m, {"labels": "[" * 10**6, "sample_rate": "1" * 10**6}))  # fmt: skip
edited("10^5 doubled metadata",
       lambda m: [m.metadata_props.add(key="k", value="v") for _ in range(10**5)])  # fmt: skip


def _sparse(graph: GraphProto) -> None:
    sparse = graph.sparse_initializer.add(dims=[2**28])
    sparse.values.CopyFrom(arrays.from_array(np.ones(1, np.float32), "huge"))
    sparse.indices.CopyFrom(arrays.from_array(ints(0), "huge_at"))


def body(nodes: Sequence[NodeProto], inputs: Any, outputs: Any, name: str = "b") -> GraphProto:
    """A graph for an attribute; inputs and outputs as {name: dtype}."""
    infos = [[value(n, None, t) for n, t in d.items()] for d in (inputs, outputs)]
    return helper.make_graph(list(nodes), name, *infos)


def _sparse_branch() -> ModelProto:
    branch = body([node("Relu", "huge", "r")], {}, {"r": FLOAT})
    _sparse(branch)
    chosen = node("If", "c", "i", then_branch=branch, else_branch=branch)
    return model([chosen, node("Add", "x i", "y")], {"x": [1, 4]}, {"y": None},
                 {"c": np.bool_(True)})  # fmt: skip


def _sparse_attribute() -> ModelProto:
    made = node("Constant", "", "k")
    sparse = GraphProto()
    _sparse(sparse)
    made.attribute.append(helper.make_attribute("sparse_value", sparse.sparse_initializer[0]))
    return model([made, node("Add", "x k", "y")], {"x": [1, 4]}, {"y": None})


edited("sparse weight", lambda m: _sparse(m.graph))
CASES["sparse weight in a branch"] = _sparse_branch
CASES["sparse weight in an attribute"] = _sparse_attribute
case("text weights", node("Add", "x w", "y"), w=np.array(["a", "b", "c", "d"], object))
case("text constant", node("Constant", "", "k", value_string="a"), node("Add", "x k", "y"))
case("text out of a cast", node("Cast", "x", "k", to=8), node("Cast", "k", "y", to=FLOAT))
case("cast to dtype 999", node("Cast", "x", "y", to=999))
case("cast to dtype 0", node("Cast", "x", "y", to=0))
case("cast to complex and back", node("Cast", "x", "k", to=15), node("Cast", "k", "y", to=FLOAT))

# -- bombs: little that asks for much

TALL, WIDE = ints(2**20, 1), ints(1, 2**20)
ONE = np.ones((1, 1), np.float32)
FULL = node("ConstantOfShape", "n", "k")
for _name, _shape in {"4 TiB": (2**20, 2**20), "2^80": (2**40, 2**40), "-4": (-4,), "1 GiB": (2**28,),
                      "0 x 2^40": (0, 2**40), "rank 9": (1,) * 9, "rank 10^6": (1,) * 10**6}.items():  # fmt: skip
    added(f"constant of {_name}", FULL, n=ints(*_shape))
added("constant as the shape of a constant", node("ConstantOfShape", "n", "a"),
      node("Cast", "a", "c", to=INT64), node("ConstantOfShape", "c", "k"), n=ints(10**7))  # fmt: skip
added("sum over nothing, 2^29 times", node("ConstantOfShape", "n", "z"),
      node("Reshape", "z m", "w"), node("ReduceSum", "w a", "k"), n=ints(0), m=ints(2**29, 0),
      a=ints(1))  # fmt: skip
added("expand to 4 TiB", node("Expand", "one n", "k"), one=ONE, n=ints(2**20, 2**20))
added("expand to rank 10^6", node("Expand", "one n", "k"), one=ONE, n=np.ones(10**6, np.int64))
added("tile to 4 TiB", node("Tile", "one n", "k"), one=ONE, n=ints(2**20, 2**20))
added("range of 2^40", node("Range", "a n b", "k"), a=np.int64(0), n=np.int64(2**40), b=np.int64(1))
added("range of steps 0", node("Range", "a n b", "k"), a=np.int64(0), n=np.int64(9), b=np.int64(0))
added("reshape to rank 10^6", node("Reshape", "one n", "k"), one=ONE, n=np.ones(10**6, np.int64))
added("one-hot of depth 2^40", node("OneHot", "i n o", "k"), i=ints(1), n=ints(2**40),
      o=np.float32([0, 1]))  # fmt: skip
for _op in ("Mul", "MatMul", "Max", "Sum", "Mean", "PRelu", "Pow", "Where", "Less", "And", "Gemm"):
    _ins = "c a b" if _op == "Where" else "a b"
    if _op == "And":
        _cast = [node("Cast", "a0", "a", to=BOOL), node("Cast", "b0", "b", to=BOOL)]
        _from = ["a0", "b0"]
    else:
        _cast, _from = [], ["a", "b"]
    added(f"outer product by {_op}", node("Expand", "one tall", _from[0]),
          node("Expand", "one wide", _from[1]), *_cast, node(_op, _ins, "k"),
          one=ONE, tall=TALL, wide=WIDE, c=np.bool_(True))  # fmt: skip
added("batch normalisation of more channels than there are", node("Expand", "one wide", "a"),
      node("Reshape", "a t", "b"), node("BatchNormalization", "b w w w w", "k"), one=ONE, wide=WIDE,
      t=ints(1, 1, -1), w=np.ones(10**4, np.float32))  # fmt: skip
added("layernorm with a gain that grows it", node("Expand", "one tall", "a"),
      node("LayerNormalization", "a w", "k"), one=ONE, tall=TALL, w=np.ones(10**4, np.float32))  # fmt: skip
added("bias of more channels than there are", node("Expand", "one wide", "a"),
      node("Reshape", "a t", "b"), node("Conv", "b w c", "k"), one=ONE, wide=WIDE, t=ints(1, 1, -1),
      w=normal(1, 1, 1), c=normal(10**4))  # fmt: skip
added("gather elements with an index of another rank", node("Expand", "one wide", "a"),
      node("GatherElements", "a i", "k"), one=ONE, wide=WIDE, i=np.zeros(10**5, np.int64))  # fmt: skip
added("gather of 2^40", node("Expand", "z n", "i"), node("Gather", "w i", "k"), z=ints(0),
      n=ints(2**20), w=np.ones((2, 10**5), np.float32))  # fmt: skip
added("gather with an index of 10^7 numbers", node("ConstantOfShape", "n", "i0"),
      node("Cast", "i0", "i", to=INT64), node("GatherND", "w i", "k"), w=ONE, n=ints(1, 10**7))  # fmt: skip
added("scatter with an index of 10^7 numbers", node("ConstantOfShape", "n", "i0"),
      node("Cast", "i0", "i", to=INT64), node("ScatterND", "w i w", "k"), w=ONE, n=ints(1, 10**7))  # fmt: skip
added("reversed with too many lengths", node("Expand", "l n", "m"),
      node("Expand", "one wide", "a0"), node("Transpose", "a0", "a"),
      node("ReverseSequence", "a m", "k"), one=ONE, wide=WIDE, l=ints(1), n=ints(10**6))  # fmt: skip
added("columns to an image of 2^40", node("Col2Im", "w n b", "k"), w=normal(1, 1, 4),
      n=ints(2**20, 2**20), b=ints(1, 1), opset=18)  # fmt: skip
added("centred in 2^40", node("CenterCropPad", "w n", "k"), w=normal(1, 4), n=ints(2**20, 2**20),
      opset=18)  # fmt: skip
added("unpooled to 2^40", node("MaxUnpool", "w i n", "k", kernel_shape=[1]), w=normal(1, 1, 4),
      i=np.zeros((1, 1, 4), np.int64), n=ints(1, 2**20, 2**20))  # fmt: skip
added("places that are not zero, rank 8", node("Expand", "one n", "a"), node("NonZero", "a", "k"),
      one=np.ones((1,) * 8, np.float32), n=ints(*[8] * 8))  # fmt: skip
added("identity of 2^30", node("Expand", "one n", "a"), node("EyeLike", "a", "k", dtype=11),
      one=np.ones((1, 1), bool), n=ints(2**15, 2**15))  # fmt: skip
case("concat, doubled 36 times",
     *(node("Concat", f"{a} {a}", b, axis=0) for a, b in pairwise(["x", *map("d{}".format, range(36))])),
     node("ReduceSum", "d35", "y"))  # fmt: skip
case("concat of 20000", node("Concat", "x " * 20_000, "c", axis=1), node("ReduceSum", "c", "y"))
case("padded by 2^40", node("Pad", "x p", "y"), p=ints(0, 2**40, 0, 2**40))
case("cropped and padded by 2^40", node("Pad", "x p", "y"), p=ints(0, -(2**40), 0, 2**40))
case("reflected 10^6 times", node("Pad", "x p", "y", mode="reflect"), p=ints(0, 4 * 10**6, 0, 0))
case("sliced by steps of 0", node("Slice", "x a a a a", "y"), a=ints(0))
case("gather out of range", node("Gather", "x i", "y", axis=1), i=ints(2**40))
case("reshape to what cannot be", node("Reshape", "x n", "y"), n=ints(3, -1))
case("split into 300", node("Split", "x", " ".join(["y", *map("s{}".format, range(299))]), axis=1),
     dims=(1, 300))  # fmt: skip
case("split into 2^62", node("Split", "x", "y", axis=1, num_outputs=2**62), opset=18)
case("einsum of four", node("Einsum", "x x x x", "y", equation="ab,cd,ef,gh->abcdefgh"))
case("resize to 2^40", node("Resize", "x - - n", "y"), n=ints(2**20, 2**20))
case("quantised along a bad axis", node("QuantizeLinear", "x s z", "y", axis=99),
     s=np.float32([1, 2]), z=np.uint8([0, 0]))  # fmt: skip
case("axis out of range", node("ReduceSum", "x a", "y"), a=ints(2**40))
case("running sum along a bad axis", node("CumSum", "x a", "y"), a=np.int64(9))
case("triangle of a vector", node("Reshape", "x n", "v"), node("Trilu", "v", "y"), n=ints(4))
case("random", node("RandomNormal", "", "r", shape=[2**20, 2**20]), node("Add", "x r", "y"))
case("an outer product of the signal", node("Reshape", "x n", "a"), node("Transpose", "a", "b"),
     node("MatMul", "a b", "y"), dims=(1, 2**15), n=ints(-1, 1))  # fmt: skip
case("many adds behind many moves", *(node("Unsqueeze", f"m{i} z", f"m{i + 1}") if i % 2 else
     node("Squeeze", f"m{i} z", f"m{i + 1}") for i in range(3000)),
     *(node("Add", "m3000 b", f"a{i}") for i in range(3000)),
     node("Sum", " ".join(f"a{i}" for i in range(3000)), "y"), node("MatMul", "x w", "q"),
     node("Reshape", "q r", "m0"), w=normal(4, 4), r=ints(1, 4), z=ints(0), b=normal(4))  # fmt: skip

# -- windows and transforms

WAVE = node("Unsqueeze", "x one", "w0")
FILTER = {"one": ints(1), "w": normal(1, 1, 2)}


def windowed(name: str, op: str, filters: np.ndarray | None = None, **attrs: Any) -> None:
    weights = FILTER if filters is None else {**FILTER, "w": filters}
    case(name, WAVE, node(op, "w0 w" if op.startswith("Conv") else "w0", "y", **attrs), **weights)


windowed("conv padded by 2^62", "Conv", pads=[2**62, 2**62])
windowed("conv with negative pads", "Conv", pads=[-9, -9])
windowed("conv of stride 0", "Conv", strides=[0])
windowed("conv of stride -1", "Conv", strides=[-1])
windowed("conv of dilation 0", "Conv", dilations=[0])
windowed("conv of dilation 2^62", "Conv", dilations=[2**62])
windowed("conv of dilation -1", "Conv", dilations=[-1])
windowed("conv in 0 groups", "Conv", group=0)
windowed("conv in 2^40 groups", "Conv", group=2**40)
windowed("conv whose columns are many", "Conv", normal(1, 1, 30_000), pads=[40_000, 40_000])
windowed("conv of many filters", "Conv", normal(20_000, 1, 1), pads=[20_000, 20_000])
windowed(
    "conv of no channels, kernel 2^28", "Conv", np.ones((0, 1, 2**28), np.float32), pads=[2**27] * 2
)
windowed("transposed conv of stride 2^40", "ConvTranspose", strides=[2**40])
windowed("transposed conv of size 2^40", "ConvTranspose", output_shape=[2**40])
windowed("transposed conv with pads 2^40", "ConvTranspose", pads=[2**40, -(2**40)])
windowed("max pool of kernel 10^8", "MaxPool", kernel_shape=[10**8], pads=[10**8 - 1, 0])
windowed("max pool of kernel 2^40, ceiled", "MaxPool", kernel_shape=[2**40], ceil_mode=1)
windowed("max pool of kernel 0", "MaxPool", kernel_shape=[0])
windowed("average pool of kernel 10^7", "AveragePool", kernel_shape=[10**7], pads=[10**7 - 1] * 2)
windowed(
    "average pool of stride 2^62", "AveragePool", kernel_shape=[2], strides=[2**62], ceil_mode=1
)
case("lrn of size 0", WAVE, node("LRN", "w0", "y", size=0), one=ints(1))
case("groups of 0 channels", WAVE, node("GroupNormalization", "w0 g g", "y", num_groups=0), opset=18,
     one=ints(1), g=normal(1))  # fmt: skip
case("depth to space by 0", node("Reshape", "x n", "a"), node("DepthToSpace", "a", "y", blocksize=0),
     n=ints(1, 4, 1, 1))  # fmt: skip
RAISED = node("Unsqueeze", "x last", "u")
for _name, _settings in {"frames of 0": (1, 0), "hop 0": (0, 2), "hop -1": (-1, 2), "frames of 2^40": (1, 2**40)}.items():  # fmt: skip
    case(f"STFT with {_name}", RAISED, node("STFT", "u hop - length", "y"), last=ints(2),
         hop=np.int64(_settings[0]), length=np.int64(_settings[1]))  # fmt: skip
case("STFT of many frames", RAISED, node("STFT", "u hop - length", "y"), dims=(1, 40_000),
     last=ints(2), hop=np.int64(1), length=np.int64(20_000))  # fmt: skip
case("DFT of length 2^40", RAISED, node("DFT", "u n", "y"), last=ints(2), n=np.int64(2**40))
case("DFT along axis 99", RAISED, node("DFT", "u", "y", axis=99), last=ints(2))

# -- loops, branches, cells, functions


def looped(name: str, trips: Any, inside: Sequence[NodeProto] = (), *, more: str = "x", cond: str = "go",
           ins: Any = None, outs: Any = None, **weights: Any) -> None:  # fmt: skip
    """A Loop that carries x along."""
    inner = body([node("Identity", "c", "d"), *(inside or [node("Relu", "v", "w")])],
                 ins or {"i": INT64, "c": BOOL, "v": FLOAT}, outs or {"d": BOOL, "w": FLOAT})  # fmt: skip
    count = "-" if trips is None else "m"
    case(name, node("Loop", f"{count} {cond} {more}", "l", body=inner), node("ReduceSum", "l", "y"),
         m=np.int64(trips or 0), go=np.bool_(True), **weights)  # fmt: skip


def nested(levels: int, trips: int) -> NodeProto:
    """Loops within loops."""
    inside = node("Relu", "v0", "w0")
    for i in range(levels):
        graph = body([node("Identity", f"c{i}", f"d{i}"), inside],
                     {f"i{i}": INT64, f"c{i}": BOOL, f"v{i}": FLOAT}, {f"d{i}": BOOL, f"w{i}": FLOAT})  # fmt: skip
        inside = node("Loop", f"m go v{i + 1}", f"w{i + 1}", body=graph)
    inside.input[2], inside.output[0] = "x", "y"
    return inside


looped("loop of 50 trips", 50)
looped("loop of 2^62 trips", 2**62)
looped("loop of 90000 trips", 90_000)
looped("loop without an end", None)
looped("loop of neither trips nor condition", None, cond="-")
looped("loop that doubles what it carries", 60, [node("Concat", "v v", "w", axis=0)])
looped("loop that stacks 2^40", 2000, [node("Relu", "v", "w"), node("Expand", "v n", "s")],
       outs={"d": BOOL, "w": FLOAT, "s": FLOAT}, n=ints(2**14, 4))  # fmt: skip
looped(
    "loop whose body has too many inputs", 5, ins={"i": INT64, "c": BOOL, "v": FLOAT, "u": FLOAT}
)
looped("loop whose trips are many", None, more="x", cond="x")
case("loops of 10^4 x 10^4", nested(2, 10**4), m=np.int64(10**4), go=np.bool_(True))
case("loops of 30^8", nested(8, 30), m=np.int64(30), go=np.bool_(True))
case("scan over 10^6", node("Expand", "one n", "a"), node("Scan", "x a", "y z", num_scan_inputs=1,
     body=body([node("Relu", "v", "w"), node("Neg", "e", "f")], {"v": FLOAT, "e": FLOAT},
               {"w": FLOAT, "f": FLOAT})), one=ONE, n=ints(10**6, 1))  # fmt: skip
case("scan along a bad axis", node("Scan", "x x", "y", num_scan_inputs=1, scan_input_axes=[9],
     body=body([node("Add", "v e", "w")], {"v": FLOAT, "e": FLOAT}, {"w": FLOAT})))  # fmt: skip
case("scan of more inputs than there are", node("Scan", "x", "y", num_scan_inputs=5,
     body=body([node("Relu", "v", "w")], {"v": FLOAT}, {"w": FLOAT})))  # fmt: skip


def _untaken(size: int, trips: int) -> ModelProto:
    """A loop over a branch that is never taken, and long."""
    long = body([node("Relu", "v" if i == 0 else f"q{i - 1}", f"q{i}") for i in range(size)], {},
                {f"q{size - 1}": FLOAT})  # fmt: skip
    short = body([node("Relu", "v", "q")], {}, {"q": FLOAT})
    inner = body([node("Identity", "c", "d"), node("If", "no", "w", then_branch=long, else_branch=short)],
                 {"i": INT64, "c": BOOL, "v": FLOAT}, {"d": BOOL, "w": FLOAT})  # fmt: skip
    return model([node("Loop", "m go x", "y", body=inner)], {"x": [1, 4]}, {"y": None},
                 {"m": np.int64(trips), "go": np.bool_(True), "no": np.bool_(False)})  # fmt: skip


def _branches(depth: int) -> ModelProto:
    inside = body([node("Relu", "x", "r")], {}, {"r": FLOAT})
    for i in range(depth):
        chosen = node("If", "go", f"r{i}", then_branch=inside, else_branch=inside if i < 3 else
                      body([node("Neg", "x", f"n{i}")], {}, {f"n{i}": FLOAT}))  # fmt: skip
        inside = body([chosen], {}, {f"r{i}": FLOAT})
    last = node("Identity", f"r{depth - 1}", "y")
    return model([*inside.node, last], {"x": [1, 4]}, {"y": None}, {"go": np.bool_(True)})


CASES["loop over a long branch not taken"] = lambda: _untaken(2000, 2000)
CASES["if nested 20 deep"] = lambda: _branches(20)
CASES["if nested 31 deep"] = lambda: _branches(31)


def _levels(depth: int) -> bytes:
    """Graphs within attributes within nodes within graphs, deeper than protobuf builds them."""
    data = b""
    for tag in b"\x32\x2a\x0a" * depth + b"\x3a":
        size, prefix = len(data), bytearray([tag])
        while size > 127:
            prefix.append(size & 127 | 128)
            size >>= 7
        data = bytes([*prefix, size]) + data
    return data


CASES["graphs nested 60 deep"] = lambda: _levels(60)
CASES["graphs nested 10000 deep"] = lambda: _levels(10_000)
CASES["chain of 3000 nodes"] = lambda: chain(3000)
CASES["chain of 10^5 + 1 nodes"] = lambda: chain(10**5 + 1)


def _cell(op: str, steps: int, hidden: int, given: Sequence[int], **attrs: Any) -> ModelProto:
    """A cell with weights of these dims (W, R) that reads a sequence made of ones."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    weights = {"one": np.ones((1, 1, 1), np.float32), "n": ints(steps, 1, 4),
               "W": np.ones((1, gates * hidden, 4), np.float32), "R": np.ones(given, np.float32)}  # fmt: skip
    nodes = [node("Expand", "one n", "e"), node("Add", "e x", "a"),
             node(op, "a W R", "h", hidden_size=hidden, **attrs), node("ReduceSum", "h", "y")]  # fmt: skip
    return model(nodes, {"x": [1, 4]}, {"y": None}, weights)


CASES["lstm of 10^6 steps"] = lambda: _cell("LSTM", 10**6, 2, (1, 8, 2))
CASES["lstm of 90000 steps"] = lambda: _cell("LSTM", 90_000, 2, (1, 8, 2))
CASES["lstm of no gates and 2^30 units"] = lambda: _cell("LSTM", 3, 0, (1, 0, 2**30))
CASES["gru in no direction"] = lambda: _cell("GRU", 3, 2, (1, 6, 2), direction="sideways")
CASES["rnn of an unknown activation"] = lambda: _cell("RNN", 3, 2, (1, 2, 2), activations=["Bang"])

OWN = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def called(functions: dict[str, Sequence[NodeProto]], name: str = "f0") -> ModelProto:
    """A model that calls the first of these functions of a to b."""
    proto = model([node(name, "x", "y", domain="own")], {"x": [1, 4]}, {"y": None})
    proto.opset_import.add(domain="own", version=1)
    proto.functions.extend(
        helper.make_function("own", key, ["a"], ["b"], list(nodes), OWN)
        for key, nodes in functions.items()
    )
    return proto


def own(name: str, inputs: str, outputs: str) -> NodeProto:
    return node(name, inputs, outputs, domain="own")


def _laughs(levels: int, inside: Sequence[NodeProto]) -> ModelProto:
    """Functions that each call the next twice."""
    some = {
        f"f{i}": [own(f"f{i + 1}", "a", "c"), own(f"f{i + 1}", "c", "b")] for i in range(levels)
    }
    return called({**some, f"f{levels}": inside})


RELU = [node("Relu", "a", "b")]
BIG = [node("Constant", "", "k", value=arrays.from_array(np.ones(10**5, np.float32))),
       node("ReduceMax", "k", "m", keepdims=0), node("Add", "a m", "b")]  # fmt: skip
CASES["billion laughs"] = lambda: _laughs(30, RELU)
CASES["billion laughs, 62 levels"] = lambda: _laughs(62, RELU)
CASES["laughs with large constants"] = lambda: _laughs(14, BIG)
CASES["function that calls itself"] = lambda: called({"f0": [own("f0", "a", "b")]})
CASES["functions in a circle"] = lambda: called(
    {"f0": [own("f1", "a", "b")], "f1": [own("f0", "a", "b")]}
)
CASES["functions called 1000 deep"] = lambda: called(
    {f"f{i}": [own(f"f{i + 1}", "a", "b")] for i in range(1000)} | {"f1000": RELU}
)
CASES["function that is not there"] = lambda: called({"f0": [own("f1", "a", "b")]})
CASES["function of an old opset"] = lambda: called({"f0": [node("Upsample", "a a", "b")]})


def old(name: str, *nodes: NodeProto, **weights: Any) -> None:
    """A model that ONNX's converter has to raise."""
    case(name, *nodes, opset=7, **weights)


old("old: upsampled to nothing", node("Upsample", "x", "y", scales=[0.0]))
old("old: reshaped to rank 10^6", node("Reshape", "x n", "y"), n=np.ones(10**6, np.int64))
old("old: padded by 2^62", node("Pad", "x", "y", pads=[0, 2**62, 0, 2**62]))
old("old: no attributes", node("Pad", "x", "y"))
old(
    "old: 300 branches",
    *(node("Relu", "x", f"r{i}") for i in range(300)),
    node("Sum", "r1 " * 300, "y"),
)

# -- external data


def external(tensor: TensorProto, **says: Any) -> TensorProto:
    """The tensor, with its bytes said to be elsewhere."""
    del tensor.external_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in says.items():
        if text is not None:
            tensor.external_data.add(key=key, value=str(text))
    return tensor


def outside(
    name: str, arrange: Callable[[Path, Path], Any] = lambda m, secret: None, **says: Any
) -> None:
    """A model whose weight ``w1`` (256 bytes) is in ``weights.bin``; ``arrange`` changes the folder."""

    def build(place: Path) -> None:
        proto, folder = listener(), place / "m"
        external(weight(proto, "w1"), **{"location": "weights.bin", **says})
        (folder / "weights.bin").write_bytes(bytes(256))
        (folder / "model.onnx").write_bytes(proto.SerializeToString())
        arrange(folder / "weights.bin", place / "secret.bin")

    PLACES[name] = build


def _pipe(file: Path, secret: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _linked(link: Callable[[Path, Path], Any]) -> Callable[[Path, Path], None]:
    def arrange(file: Path, secret: Path) -> None:
        file.unlink()
        link(secret, file)

    return arrange


outside("external data, all well")
outside("checksum that is wrong", checksum="0" * 40)
for _where in ("../secret.bin", "x/../../secret.bin", "/etc/passwd", "", ".", "..", "sub/secret.bin",
               "./weights.bin", "weights.bin\0", "*_ORT_MEM_ADDR_*", "nothing.bin", "é" * 300,
               "file:///etc/passwd", "..\\secret.bin"):  # fmt: skip
    outside(f"external data in {_where[:20]!r}", location=_where)
outside("external data without a place", location=None)
outside("external data behind a symlink", _linked(os.symlink))
outside("external data behind a hard link", _linked(os.link))
outside("external data behind a linked folder",
        lambda file, secret: (file.parent / "sub").symlink_to(secret.parent), location="sub/secret.bin")  # fmt: skip
outside("external data in a pipe", _pipe)
outside("external data in a folder", lambda file, secret: (file.unlink(), file.mkdir()))
outside("external data in /dev/zero", _linked(lambda secret, file: os.symlink("/dev/zero", file)))
for _key, _text in [("length", 3), ("length", -1), ("length", 10**30), ("length", "many"),
                    ("offset", 1), ("offset", -1), ("offset", 10**30), ("offset", "0x10")]:  # fmt: skip
    outside(f"external data, {_key} {_text}", **{_key: _text})


def elsewhere(name: str, build: Callable[[TensorProto], ModelProto]) -> None:
    """A model with a tensor in an attribute that is said to be in the secret file, by any name."""
    for where in ("weights.bin", "../secret.bin"):
        tensor = external(arrays.from_array(normal(1, 4), "t"), location=where)
        CASES[f"{name}, {where}"] = lambda tensor=tensor: build(tensor)  # type: ignore[misc]


def _in_attribute(tensor: TensorProto) -> ModelProto:
    nodes = [node("Constant", "", "k", value=tensor), node("Add", "x k", "y")]
    return model(nodes, {"x": [1, 4]}, {"y": None})


def _in_branch(tensor: TensorProto) -> ModelProto:
    branch = body([node("Add", "x t", "r")], {}, {"r": FLOAT})
    branch.initializer.append(tensor)
    chosen = node("If", "go", "y", then_branch=branch, else_branch=branch)
    return model([chosen], {"x": [1, 4]}, {"y": None}, {"go": np.bool_(True)})


def _in_function(tensor: TensorProto) -> ModelProto:
    return called({"f0": [node("Constant", "", "k", value=tensor), node("Add", "a k", "b")]})


def _in_default(tensor: TensorProto) -> ModelProto:
    """As the default of a function's attribute."""
    constant = node("Constant", "", "k")
    constant.attribute.append(
        AttributeProto(name="value", ref_attr_name="v", type=AttributeProto.TENSOR)
    )
    proto = called({"f0": [constant, node("Add", "a k", "b")]})
    proto.functions[0].attribute_proto.append(helper.make_attribute("v", tensor))
    return proto


elsewhere("external data in an attribute", _in_attribute)
elsewhere("external data in a branch", _in_branch)
elsewhere("external data in a function", _in_function)
elsewhere("external data in a function's default", _in_default)


def write(root: Path) -> dict[str, Path]:
    """The corpus: the path of every case's model by the case's name."""
    found = {}
    for number, name in enumerate([*CASES, *PLACES]):
        place = root / f"{number:03}"
        (place / "m").mkdir(parents=True)
        (place / "secret.bin").write_bytes(bytes(256))
        found[name] = place / "m" / "model.onnx"
        if name in PLACES:
            PLACES[name](place)
        else:
            data = CASES[name]()
            found[name].write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    return found


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])).items():
        sys.stdout.write("\t".join(map(str, path)) + "\n")
