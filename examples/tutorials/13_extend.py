"""
Your own rule, op, domain and backend
=====================================

What dftlrp knows is held in four tables: how relevance is shared, what the nodes of a graph are,
in which coordinates relevance is shown, and what computes. Each takes an entry of yours from your
own script; you need not change the package. In this lesson you write the shortest one of each that
works.
"""

import tempfile
import textwrap
from pathlib import Path

import numpy as np

import dftlrp

clip = dftlrp.embedded("clip")
e = dftlrp.explain("waveform", clip)

# %%
# A rule
# ------
# A rule says how the relevance of a layer's output is shared among its inputs. It is told the
# layer, a map ``c.op`` with weights, and its inputs; it names the terms that get a share, and
# ``share`` does the arithmetic and keeps the accounts. Ours shares by the size of the weights,
# whatever their sign.

from dftlrp.core.rules import register_rule
from dftlrp.core.sharing import Term, share


@register_rule("by_size", "epsilon")
def share_by_size(c):
    return share(c, [Term(c.op.map(abs), c.inputs)], None)


# %%
# It is known by its name at once, to ``overrides`` as to the other rules. It makes sense where
# inputs are positive, behind a ReLU, so the first layer keeps another. Nothing is lost: the ledger
# closes, as for any rule.

mine = dftlrp.explain(
    "waveform",
    clip,
    reference="none",
    overrides={"Conv": "by_size", "first": "epsilon"},
)
for layer, rule in mine.provenance["rules"].items():
    print(f"{layer:10}{rule}")
assert mine.provenance["rules"]["conv2"] == "by_size"
mine

# %%
# Is it a good rule? Ask the model, as in :doc:`09_is_it_right`:

from dftlrp import metrics

for name, one in {"the default": e, "by size": mine}.items():
    curves = metrics.explanation_curves(one, "time-frequency", replace="zero")
    print(f"{name}: gain {curves.srg:.2f}")

# %%
# An op
# -----
# Here is a small model with a node that dftlrp does not know, ``QuickGelu`` of Microsoft's domain.

from onnx import TensorProto, helper, numpy_helper

weights = np.random.default_rng(0).normal(size=(4, 1, 16)).astype(np.float32)
nodes = [
    helper.make_node("Conv", ["x", "w"], ["c"], strides=[8]),
    helper.make_node("QuickGelu", ["c"], ["g"], domain="com.microsoft"),
    helper.make_node("GlobalAveragePool", ["g"], ["mean"]),
    helper.make_node("Flatten", ["mean"], ["z"]),
]
ends = {"x": [1, 1, 800], "z": [1, 4]}
read, said = (helper.make_tensor_value_info(k, TensorProto.FLOAT, n) for k, n in ends.items())
graph = helper.make_graph(nodes, "small", [read], [said], [numpy_helper.from_array(weights, "w")])
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
network = helper.make_model(graph, opset_imports=opsets, ir_version=8)
file = Path(tempfile.mkdtemp()) / "small.onnx"
file.write_bytes(network.SerializeToString())

noise = np.random.default_rng(1).normal(size=(1, 1, 800))
try:
    dftlrp.attribute(file, noise)
except dftlrp.UnsupportedModelError as error:
    print(textwrap.fill(str(error), 76))

# %%
# A function of one value is its formula and its derivative. (``at.bk`` computes: NumPy,
# onnxruntime or any other. Other kinds of ops are registered by the functions of
# ``dftlrp.ops.registry``.)

from dftlrp.ops.pointwise import register_pointwise


def quick_gelu(at):
    return at.x * at.bk.sigmoid(1.702 * at.x)


def slope(at):
    gate = at.bk.sigmoid(1.702 * at.x)
    return gate + 1.702 * at.x * gate * (1 - gate)


register_pointwise("com.microsoft.QuickGelu", quick_gelu, slope)
a = dftlrp.attribute(file, noise)
print(a.output)

# %%
# A wrong formula would not have passed: the output of the graph that is explained is compared with
# onnxruntime's own.
#
# A domain
# --------
# A domain is a transform and its inverse, and how it is drawn. This one shows relevance in cosine
# waves.

from dftlrp.results.data import Domain, View
from dftlrp.results.panels import LINE
from dftlrp.results.views import DOMAINS, HERTZ
from dftlrp.spectral import Dct, relevance_in


def compute_cosines(w):
    moved = relevance_in(Dct(w.x.shape[-1]), w.x, multiplier=w.m)
    hertz = np.arange(w.x.shape[-1]) * w.rate / (2 * w.x.shape[-1])
    return View(moved.coefficients, moved.relevance, hertz, w.lost + moved.rest.sum())


DOMAINS["cosines"] = Domain("cosines", "Cosines", "cosine waves", (HERTZ,), compute_cosines, LINE)
both = dftlrp.explain("waveform", clip, domains=["frequency", "cosines"])
sums = [both.relevance[domain].sum() for domain in both.domains]
print("relevance in both:", *(f"{total:.4f}" for total in sums))
assert np.allclose(sums, sums[0], rtol=1e-3)
both.plot()

# %%
# A backend
# ---------
# A backend computes what the rules ask for. Ours is NumPy's, and counts convolutions. Whether a
# backend does what the contract says is checked by ``check_backend``: every primitive, every rule,
# some networks. It finds a fault, too.

from dftlrp.core.numpy_backend import NumpyBackend
from dftlrp.frameworks.testing import check_backend


class Counting(NumpyBackend):
    name = "counting"
    count = 0

    def conv(self, *given, **more):
        self.count += 1
        return super().conv(*given, **more)


class Wrong(NumpyBackend):
    name = "wrong"

    def pos(self, x):
        return abs(x)


check_backend(Counting(), dtypes=["float64"])
try:
    check_backend(Wrong(), dtypes=["float64"])
except AssertionError as fault:
    print(textwrap.fill(str(fault), 76))

backend = Counting()
counted = dftlrp.explain("waveform", clip, backend=backend)
print(counted.provenance["backend"], "computed", backend.count, "convolutions")
assert np.allclose(counted.relevance["time"], e.relevance["time"], atol=1e-4)

# %%
# A backend for a framework of your own is a table of functions: :doc:`/guides/backends`. If what
# you wrote would serve others, give it to the project: CONTRIBUTING.md says which file, and which
# test.
