"""
A voice detector that hears a stream
====================================

Deployed models often read a few milliseconds at a time and remember the rest in a *state*. In this
lesson you explain such a model as it is published: Silero VAD, which says every 32 ms whether
somebody speaks. You find out which part of a word switches it on.
"""

# %%
# A model from its package
# ------------------------
# The package ``silero-vad`` holds the ONNX file; nothing else of it is needed
# (``pip install --no-deps silero-vad``).

from importlib.resources import files

import dftlrp

model = dftlrp.load(files("silero_vad") / "data" / "silero_vad.onnx")
print(model)

# %%
# The file says that it reads ``input``, a ``state`` and, as a setting, a rate. It does not say that
# a run reads 512 samples, nor that ``stateN`` is the next ``state``. You will see that dftlrp finds
# out.
#
# A recording
# -----------
# Four seconds of soft noise: at 1.0 s somebody says "seven"; at 2.5 s there is a beep, which is
# louder than the noise but no voice. (:download:`speaking.py </../examples/tutorials/speaking.py>`
# calls eSpeak NG.)

import numpy as np
from speaking import speak

RATE = 16000
recording = 0.003 * np.random.default_rng(0).normal(size=4 * RATE)
word = speak("seven", rate=RATE)
recording[RATE : RATE + len(word)] += 0.5 * word
beep = np.hanning(RATE // 2) * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)
recording[int(2.5 * RATE) : 3 * RATE] += 0.2 * beep

# %%
# What does it say, and when?
# ---------------------------
# ``explain_recording`` runs the model chunk after chunk over the whole recording, and explains the
# chunk where it is surest. ``window`` says how many seconds before that chunk are explained.

settings = {"rate": RATE, "window": 0.5, "labels": ["speech"]}
found = dftlrp.explain_recording(model, recording, top=1, **settings)
print(*found[0].notes[:3], sep="\n")

# %%
# These notes say what was found out: the setting, the state, and the length of a chunk. This is the
# probability of speech in each chunk:

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 2.2), layout="constrained")
ax.step(found.starts, found.scores, where="post")
ax.set(xlabel="seconds", ylabel="speech", ylim=(0, 1.05))
plt.show()

speech = found.starts[found.scores > 0.5]
print(f"speech from {speech[0]:.2f} to {speech[-1] + found.seconds:.2f} s")

assert 1.0 < speech[0] < 1.2
assert 1.3 < speech[-1] < 1.6

# %%
# It hears the word, not the beep. But look closely: the word begins at 1.0 s, with an "s", and the
# detector stays silent until 1.09 s. Then it jumps from almost 0 to almost 1.
#
# What switched it on?
# --------------------
# Explain just this moment, the first chunk above one half:

moment = speech[0] + found.seconds / 2
e = dftlrp.explain(model, recording, at=moment, **settings)
print(e)

# %%
# The strongest segment is the last one: the chunk itself, in which the vowel begins. Play the parts
# that supported it.

e

# %%
# And the "s" before it? It could not switch the detector on alone. But it was remembered: through
# the state, relevance reaches back to it, at high frequencies, where a hissing "s" is. (The soft
# noise before the word spoke a little against it, so that these shares add up to more than 100 %.)

now = (speech[0], speech[0] + found.seconds)
hiss = e.share(time=(1.0, now[0]), band=(4000, 8000))
print(f"the chunk itself                   {e.share(time=now):4.0%}")
print(f"before it, from 1.0 s on           {e.share(time=(1.0, now[0])):4.0%}")
print(f"  of this, from 4000 Hz on         {hiss:4.0%}")

assert e.share(time=now) > 0.5
assert hiss > 0.1

# %%
# Test it
# -------
# If the "s" helped, then without it the detector should be less sure at this moment. Put noise in
# its place, and ask again:

changed = recording.copy()
changed[RATE : int(now[0] * RATE)] = 0.003 * np.random.default_rng(1).normal(
    size=int(now[0] * RATE) - RATE
)
without = dftlrp.explain(model, changed, at=moment, **settings)
print(f"with the s {e.explained.item():.2f}, without it {without.explained.item():.2f}")

assert without.explained.item() < e.explained.item() - 0.05

# %%
# What next?
# ----------
# On the command line the same is ``dftlrp explain silero_vad.onnx CLIP.wav --at 1.1``.
# :doc:`/guides/streams` says what is recognised, what relevance means where a state was handed on,
# and how to explain streaming models that need a front end.
