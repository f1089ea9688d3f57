"""The words of docs/reference/models.md: how to read it, and why some relevance is lost."""

TOKEN = (
    "the output is read at a class token, a constant that the Concat puts in front of the frames; "
    "relevance that the residual path carries back to it speaks for no frame and rightly stops"
)
WHY = {
    "families/TransformerEnc_gelu__ts": TOKEN,
    "families/TransformerEnc_relu__ts": TOKEN,
}

HEAD = """# Real models

Real, trained networks from public packages, each explained for its main output on a real
recording that suits it. The models and recordings are not part of the project; their licences
stand beside them. The page is written by

```
python benchmarks/real_models.py --models ../shared/models --data ../shared/data
```

and `tests/attribution/test_real_models.py` checks the same: the output equals onnxruntime's
(float32, optimisations off), every node's account closes to 1e-8 in float64, and seed = relevance
+ absorbed.

**Where relevance ends.** Follow one unit of relevance from the output: at every node it goes on
in proportion to the absolute amounts |R| that the node gives to its inputs, its bias, its
stabiliser and to what carries none (*stopped*), element by element. Where the score is compared
with that of silence (the default but for attention, [references](../explanation/references.md)),
biases take nothing, and *reference* is what a frozen factor or an inexact map leaves of the
difference. The shares add up to one.
Sums of |R| at single nodes would not do: rules that let parts cancel
(alpha 2, beta 1) make |R| grow from layer to layer, so what is lost near the output would look
like nothing beside it, and what flows on a side path would count as much as all. Signed sums would
let losses of both signs cancel. (So these are not the totals of `e.ledger`, which are signed: in
gtcrn the |R| of side paths grows to thirty times the seed and what is lost there looks like much
of it.)

A bias that works against its layer makes the input's part larger than what arrived, and takes a
large share of a unit; through many layers little is left. So **lost of the rest** is what
stabilisers and stops took of all that no bias took: it must be at most a fifth, or the reason is
given below. **Where**: the layer that took most of it, named from a tenth on.

Seconds: one explanation, forward pass included, one core. Memory: peak of the whole process, of
which Python and its libraries are about 110 MB. Target: index in the output and the value there,
before a final Softmax or Sigmoid; of several, their sum. Deviation: from onnxruntime, relative to
the largest output.
"""

OTHER_HEAD = """
## Other composites

Shares that ended at the input / in biases / in stabilisers or stopped, in per cent; then what was
lost of the rest. The largest gap is {:.0e} (of nodes with more than 1e-20 of the seed; what is
less is the round-off of a sum that cancels). Gradient is gradient x input: what a layer's tangent
does not explain counts as its bias.
"""

PARITY_HEAD = """# The backends against the reference

`backend="onnx"` (float32, onnxruntime: the traced graph) and the [adapters](../guides/backends.md)
in float64 and float32 against `backend="numpy"` in float64, on every model and preset that the
reference explains: the embedded models on the embedded clip, and the
[real models](../reference/models.md) on real recordings. The page is written by

```
python benchmarks/real_parity.py --models ../shared/models --data ../shared/data
```

**Traced graph** and adapters: relative L1 difference of the relevance, sum |R - R64| / sum |R64|.
**Reference in float32**: the same of the NumPy reference run in float32, which shows what float32
itself can do.
**Winners that differ**: elements that win in a maximum (max pool, ReduceMax, TopK) in float32 and
not in float64; each sends relevance elsewhere. **Gap**: the largest of any node's account in the
traced run, |in - out| / sum |R|. **Trace**: seconds that the first call takes longer than the
second.

**Verdict**, of all backends: *agrees* under 1e-4 in float32 and 1e-10 in float64; *float32's
limit*: above, but within three times the reference in float32 (in float64: within that many of its
digits); *over*: neither.

{0} questions: {1} agree, {2} are at float32's limit; together {3}.

"""
