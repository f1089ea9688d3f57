"""
A right answer and a wrong one
==============================

An explanation is most useful where a model errs. In this lesson you compare a right answer with the
answer that came second, explain a mistake, and then test what the explanation says: you change the
recording where it says that the mistake was made, and the model changes its mind.
"""

# %%
# Two answers side by side
# ------------------------
# The embedded model hears a "seven" in the embedded clip, and "eight" comes next. With ``versus``
# both are explained. The result is a comparison: two explanations of one recording.

import dftlrp

model = dftlrp.load("waveform")
right = dftlrp.explain(model, dftlrp.embedded("clip"), target="seven", versus="eight")
print(right)

# %%
# The first line after *segments* says that the vowel from 0.26 to 0.30 s speaks strongly for
# "seven", and against "eight". The two share one player and one cursor:

right

# %%
# A mistake
# ---------
# The model learned from six people. A synthetic voice is something new to it. Let eSpeak NG say
# "six" (the package ``espeakng-loader`` holds it, and
# :download:`speaking.py </../examples/tutorials/speaking.py>` calls it):

import numpy as np
from speaking import speak

six = speak("six", rate=8000)


def ask(sound):
    """Say the two best digits with their scores, for the first second of a sound."""
    second = np.pad(sound, (0, 8000))[:8000]
    scores = dftlrp.predict(model, second[None, None]).output[0]
    return ", ".join(f"{model.labels[k]} {scores[k]:.1f}" for k in np.argsort(-scores)[:2])


print(ask(six))
assert ask(six).startswith("eight")

# %%
# It hears an "eight". Listen to the recording: no person would.

wrong = dftlrp.explain(model, six, rate=8000, target="eight", versus="six")
wrong

# %%
# What misled it?
# ---------------
# The question is not why "eight" has a high score, but why it has a higher one than "six". So ask
# this: the seed ``contrast:six`` divides the difference of the two scores.

e = dftlrp.explain(model, six, rate=8000, target="eight", seed="contrast:six")
print(*e.table("segments", 4), sep="\n")

# %%
# The segments from 0.12 to 0.18 s decide, in the middle of the vowel; just behind them the vowel
# speaks for "six". What of the hissing "s" and "ks", by which a person knows the word?

parts = {"s": (0.00, 0.08), "i": (0.08, 0.24), "ks": (0.24, 0.60)}
for name, span in parts.items():
    print(f"{name:3} {e.share(time=span):5.0%}")

assert e.share(time=(0.12, 0.18)) > 1
assert abs(e.share(time=parts["ks"])) < 0.1

# %%
# They hardly matter: the model hears the "six" in the vowel alone. If so, then the vowel may be too
# long for it.
#
# Test it
# -------
# Cut the 60 ms out that speak for "eight", so that the vowel is shorter, and ask again:

shorter = np.delete(six, slice(int(0.12 * 8000), int(0.18 * 8000)))
print("vowel shortened:", ask(shorter))

# %%
# And if the "ks" does not matter, then silence in its place must change little:

silenced = np.where(np.arange(len(six)) < 0.24 * 8000, six, 0)
print("ks silenced:    ", ask(silenced))

assert ask(shorter).startswith("six")
assert ask(silenced).startswith("eight")

# %%
# Both came true. So you know more than that the model erred: it listens to a vowel and its length,
# and pays little heed to hisses. Digits at several speeds, added to its training, may cure it.
#
# Here are both sounds, the first taken for an "eight", the second for a "six", and what speaks in
# each for a "six":

dftlrp.compare(
    wrong.explanations[1],
    dftlrp.explain(model, shorter, rate=8000, target="six"),
    names=["as spoken", "vowel shortened"],
)

# %%
# What next?
# ----------
# The same on the command line: ``dftlrp explain MODEL.onnx CLIP.wav --target eight --versus six``.
# To look for mistakes in a folder of recordings, see :doc:`/guides/folders`; for what comparisons
# can do, :doc:`/guides/page`.
