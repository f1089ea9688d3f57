"""
Your first explanation
======================

A network hears a word and says "seven". Why? In this lesson you explain that answer, read the page
that explains it, and listen to the part of the recording that the network went by.

You need Python 3.11 or newer, and nothing else: dftlrp brings a small model that knows the ten
English digits, and a recording. Install it with ``pip install dftlrp``, or in a checkout with
``pip install .``.
"""

# %%
# Explain
# -------
# Two words name the embedded model and the embedded recording. The model has ten scores, one for
# each digit, and the largest of them is explained.

import dftlrp

e = dftlrp.explain("waveform", dftlrp.embedded("clip"))
print(e)

# %%
# Read these lines from the top: the model is sure of "seven", since the next score is far below.
# Half of what speaks for "seven" lies between 0.26 and 0.30 seconds; by frequency, half of it lies
# between 562 and 708 Hz. This is the vowel of the first syllable. The line *account* says that
# nothing was lost on the way from the score back to the recording.

assert e.label == "seven"
assert e.share(time=(0.20, 0.32)) > 0.9

# %%
# See
# ---
# At the end of a cell of a notebook, an explanation shows itself as a page that plays. Press
# **Play**, then choose **The parts that supported it** and play again. Point at the pictures to
# read numbers; drag over a part of one, and Play plays only this part.

e

# %%
# From top to bottom you see the recording; how much each 20 ms of it spoke for "seven" (red, up) or
# against it (blue, striped, down); the same on the spectrogram; and the same over frequency. Look
# at the strong red bar near 0.27 s, and at the blue ones behind it and from 0.44 s on: the "n" at
# the end of the word spoke a little against it. The pale part of a bar is what cancels in it.

assert e.share(time=(0.44, 0.54)) < 0

# %%
# Relevance in numbers
# --------------------
# Relevance is a score, divided among the samples of the recording. What is divided here is how far
# "seven" lies above the average of the other digits, less the same number for silence. So the
# relevance of all samples adds up to that number, and so does the relevance of all frequencies:

seed = e.ledger.rows[0].relevance.sum()
print(f"what is divided          {seed:.4f}")
for domain in e.domains:
    print(f"sum over {domain:15} {e.relevance[domain].sum():.4f}")

assert abs(e.relevance["time"].sum() / seed - 1) < 1e-3

# %%
# The strongest bands and segments come as tables, with the share that each has of the whole. Parts
# that spoke against "seven" have negative shares, which is why the positive ones add up to more
# than 100 %.

print("bands", *e.table("bands", 4), sep="\n  ")
print("segments", *e.table("segments", 6), sep="\n  ")

# %%
# Any other part has a share, too. One third of an octave holds most of the relevance, and most of
# that lies in one twentieth of a second:

band = e.share(band=(562, 708))
tile = e.share(band=(562, 708), time=(0.25, 0.30))
print(f"562 to 708 Hz                    {band:.0%}")
print(f"562 to 708 Hz, 0.25 to 0.30 s    {tile:.0%}")

assert band > 0.55
assert tile > 0.45

# %%
# Hear
# ----
# The *resynthesis* is the recording with only those parts left in that supported "seven".

e.audible("resynthesis")

# %%
# The *complement* is the rest. Both have the loudness that they have in the recording, and together
# they are the recording.

e.audible("complement")

# %%
# Would you still say "seven" when you hear the rest? Perhaps: a word without one vowel is still a
# word. Ask the model, too:

model = dftlrp.load("waveform")
for kind in ("original", "resynthesis", "complement"):
    scores = dftlrp.predict(model, e.audible(kind).samples[None, None]).output[0]
    heard = model.labels[scores.argmax()]
    print(f"{kind:12} {heard}")
    assert (heard == "seven") == (kind != "complement")

# %%
# It says "seven" to the parts that were kept, and something else to the rest. So the parts that
# were kept are enough for this answer, and the rest is not (:doc:`/explanation/limits` has what an
# explanation cannot say).
#
# Save
# ----
# A folder receives the page, the sounds, the tables and all arrays. The page is one file, which you
# can send to a colleague: it needs no program but a browser, and no network.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
print(*(path.name for path in e.save(folder)), sep="\n")

again = dftlrp.Explanation.load(folder / "explanation.npz")
assert (again.relevance["time"] == e.relevance["time"]).all()

# %%
# Without Python
# --------------
# The command line does all of this in one go. ``dftlrp explain`` alone explains the embedded
# recording, and ``dftlrp explain MODEL.onnx CLIP.wav`` your own.

import subprocess
import sys

command = "dftlrp explain waveform clip --out again"
done = subprocess.run(
    [sys.executable, "-m", *command.split()], cwd=folder, capture_output=True, text=True, check=True
)
print(done.stdout)

# %%
# What next?
# ----------
# In :doc:`the next lesson <02_right_and_wrong>` the model errs, and you find out what misled it.
# :doc:`/guides/page` says all that the page can do, :doc:`/explanation/sound` how the sounds are
# made, and :doc:`/reference/glossary` what the words mean.
