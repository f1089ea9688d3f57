"""
Your own rule, operator, domain and backend
===========================================

Some day dftlrp will lack what you need: a rule from a new paper, an operator of your company's
runtime, a way to look at sound, another library of arrays. In this lesson you add one of each, in
a few lines, without a change to the package. Each of the four knows nothing of the others: the rule
works with every operator and every backend, and so on.
"""

# %%
# A rule
# ------
# A rule says how the relevance of a layer's output is shared among its inputs. It is given the
# layer as a linear map ``c.op`` at its present ``c.inputs``, and names terms: a map with modified
# weights, on modified inputs. ``share`` divides the relevance by their sum
# (:doc:`/explanation/mathematics`).
#
# This one lets every input count by its size, whatever its sign: ``z = |A| |x| + |b|``.

import numpy as np

import dftlrp
from dftlrp.core.rules import register_rule
from dftlrp.core.sharing import Term, modify_bias, share


@register_rule("by_size", "epsilon", "bias", "at_zero", "relative")
def share_by_size(c):
    """Share by |A| |x|."""
    sizes = tuple(abs(x) for x in c.inputs)
    return share(c, [Term(c.op.map(abs), sizes, None)], modify_bias(c, abs))


# %%
# Its name is now known wherever a rule may be named, with its numbers:

clip = dftlrp.embedded("clip")
usual = dftlrp.explain("waveform", clip)
sized = dftlrp.explain("waveform", clip, overrides={"Conv": "by_size(epsilon=1e-9)"})
for name, e in [("usual", usual), ("by_size", sized)]:
    R = e.relevance["time-frequency"]
    print(f"{name:8} sum {R.sum():.2f}, of which negative {R[R < 0].sum():.2f}")

assert np.isclose(sized.relevance["time"].sum(), usual.relevance["time"].sum(), rtol=1e-3)

# %%
# The sums are the same, since no rule that is made of ``share`` can lose anything. But this one
# follows what is loud: everything that is there counts for "seven", and nothing against it. Rules
# are to be chosen by what they point at, not by how they look (:doc:`09_is_it_right`).
#
# An operator
# -----------
# Say that your exporter writes a node ``Smooth`` of a domain ``acme``, which ONNX does not know:
# the mean of each sample and its two neighbours. It is linear in its input, so it is registered as
# an affine map, in functions that every backend has. A map needs its adjoint; this one is its own,
# as each sample gives to its neighbours what it takes of them.

from dftlrp.core.maps import Affine, run_dot_test
from dftlrp.ops.registry import register_affine


def smooth(bk, x):
    """Return the mean of three samples along the last axis, with silence outside."""
    padded = bk.pad(x, ((0, 0),) * (x.ndim - 1) + ((1, 1),))
    every, length = (slice(None),) * (x.ndim - 1), x.shape[-1]
    return sum(bk.slice(padded, (*every, slice(k, k + length))) for k in range(3)) / 3


@register_affine("acme.Smooth", weighted=False)
def make_smooth(at):
    """Return the map of a Smooth node."""
    return Affine(lambda _, xs: smooth(at.bk, xs[0]), lambda _, r: (smooth(at.bk, r),))


# %%
# Whether an adjoint is right can be tested with any two arrays: <A x, y> must be <x, A^T y>.

from dftlrp.core.numpy_backend import BACKEND

x, y = np.random.default_rng(0).normal(size=(2, 1, 100))
layer = Affine(lambda _, xs: smooth(BACKEND, xs[0]), lambda _, r: (smooth(BACKEND, r),))
print("dot test, relative error:", run_dot_test(layer, (x,), y))
assert run_dot_test(layer, (x,), y) < 1e-12

# %%
# Here is a model that has such a node in front of all others. (Nothing but the rule and the map
# above is new; onnxruntime alone could not run this file.)

import tempfile
from pathlib import Path

import onnx

graph = onnx.load(dftlrp.embedded("waveform"))
node = onnx.helper.make_node("Smooth", ["waveform"], ["smoothed"], "smoothed", domain="acme")
graph.graph.node[0].input[0] = "smoothed"
graph.graph.node.insert(0, node)
graph.opset_import.append(onnx.helper.make_opsetid("acme", 1))
path = Path(tempfile.mkdtemp()) / "smooth.onnx"
onnx.save(graph, path)

e = dftlrp.explain(path, clip)
print(e)
assert e.label == "seven"
assert e.ledger.gap < 1e-4

# %%
# A domain
# --------
# A domain is a way to look at a signal. It needs an analysis and the synthesis that undoes it, and
# relevance moves by itself (``relevance_in``); a row of a table says how to name and to draw it.
# Here is the cosine transform, for which dftlrp has the pair already:

from dftlrp.results.data import Domain, View
from dftlrp.results.panels import LINE
from dftlrp.results.views import DOMAINS, HERTZ
from dftlrp.spectral import Dct, relevance_in


def compute_cosines(w):
    """Return signal and relevance as sums of cosines; w has the waveform and its multiplier."""
    moved = relevance_in(Dct(len(w.x)), w.x, multiplier=w.m)
    hertz = np.arange(len(w.x)) * w.rate / (2 * len(w.x))
    return View(moved.coefficients, moved.relevance, hertz, w.lost + moved.rest)


DOMAINS["cosines"] = Domain(
    "cosines", "Cosine transform", "cosine waves", (HERTZ,), compute_cosines, LINE
)

e = dftlrp.explain("waveform", clip, domains=["time", "cosines"])
assert np.isclose(e.relevance["cosines"].sum(), e.relevance["time"].sum())
e.plot()

# %%
# The command line, the page and the files know it as well: ``--domains time cosines``.
#
# A backend
# ---------
# A backend brings arrays: of another framework, or of a device. Usually it is a class of its own
# with the functions of :class:`dftlrp.core.backend.Backend`. Here NumPy's is changed, so that it
# counts the convolutions of an explanation:

from dftlrp.core.numpy_backend import NumpyBackend
from dftlrp.frameworks.testing import check_backend


class CountingBackend(NumpyBackend):
    """NumPy, with a count of convolutions."""

    name = "counting"
    count = 0

    def conv(self, x, w, g):
        """Return a convolution."""
        self.count += 1
        return super().conv(x, w, g)

    def conv_T(self, r, w, g, size):
        """Return a convolution's adjoint."""
        self.count += 1
        return super().conv_T(r, w, g, size)


counting = CountingBackend()
signal = np.random.default_rng(0).normal(size=(1, 1, 8000))
dftlrp.attribute("waveform", signal, composite="EpsilonPlus", backend=counting)
print(f"{counting.count} convolutions, of which the model itself has 7")
assert counting.count <= 3 * 7

# %%
# Before anyone relies on it, a backend passes the same laws as ours: every function against NumPy's
# in float64, adjoints by the dot test, all rules, and whole networks. It either returns, or says
# which law is broken.

check_backend(counting, dtypes=["float64"])

# %%
# What next?
# ----------
# To share what you made, put the registrations into a module of your package, which whoever imports
# it then has; a backend is found by an entry point (:doc:`/guides/backends`). If you think that
# everybody should have it, ``CONTRIBUTING.md`` says where each of them lies, and how it is tested.
