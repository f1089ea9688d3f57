"""
A wake word in ten minutes of noise
===================================

A keyword spotter reads one second; a recording has ten minutes. In this lesson you hide a word in
noise at five moments, at five levels, let dftlrp find them, and see why the model heard it there.
"""

# %%
# Make a recording
# ----------------
# The embedded model knows the word "seven". Mix the embedded clip into ten minutes of noise: the
# first time it is 30 dB louder than the noise, the last time only 6 dB.

import numpy as np
import soundfile

import dftlrp

RATE = 8000
word, _ = soundfile.read(dftlrp.embedded("clip"))
hidden = {45.0: 30, 123.4: 24, 251.7: 18, 333.3: 12, 512.1: 6}  # seconds: decibels

recording = 0.01 * np.random.default_rng(0).normal(size=600 * RATE)
loudness = np.sqrt(np.mean(word[1600:4300] ** 2))  # of the word itself, without the pauses
for second, level in hidden.items():
    start = round(second * RATE)
    recording[start : start + len(word)] += 0.01 * 10 ** (level / 20) / loudness * word

# %%
# Ask about all of it
# -------------------
# The model is asked about one second after the other, half a second apart. Of these windows the
# eight are explained in which "seven" is strongest; no two of them overlap.

found = dftlrp.explain_recording("waveform", recording, rate=RATE, target="seven", top=8)
print(found)

# %%
# The five words come first, the loudest before the others, and behind them there is a gap: where
# there is only noise, "seven" leads by next to nothing. A threshold between 0.1 and 0.6 would find
# all five, and nothing else.

for second, window in zip(hidden, found.explained(), strict=False):
    print(f"hidden at {second:5.1f} s, found from {window.start:5.1f} s: {window.score:5.2f}")
    assert window.start <= second + 0.3 < window.stop

assert found.explained()[4].score > 0.6
assert found.explained()[5].score < 0.1

# %%
# Here is how far "seven" leads in each window of the ten minutes, on a logarithmic scale:

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
ax.plot(found.starts, found.scores.clip(1e-3), linewidth=0.8)
ax.plot([w.start for w in found.explained()], [w.score for w in found.explained()], "ro")
ax.set(yscale="log", ylim=(1e-3, 40), xlabel="seconds", ylabel="lead of “seven”")
plt.show()

# %%
# Why there?
# ----------
# Each of the eight is an explanation, with the times of the recording. This is the faintest of the
# five words, at 512.1 s. Play it: you may have to listen twice.

faint = found[4]
faint

# %%
# In the clip the vowel, by which the model knows a "seven", lies 0.26 to 0.30 s after the start.
# Was it the vowel in the noise, too? Wherever the word was hidden, and however faint:

for e, second in zip(found, hidden, strict=False):
    strongest = e.table("segments", 1)[0]
    print(
        f"{second:5.1f} s: strongest {strongest.start - second:.2f} s after the start of the word"
    )
    assert 0.16 < strongest.start - second < 0.34

# %%
# And what about the loudest false alarm, the sixth window? Its lead is small, and no part of it
# stands out as the vowel does in the others.

print(*found[5].table("segments", 3), sep="\n")

# %%
# Save
# ----
# ``save`` writes one page with the whole recording, on which a click shows and plays each explained
# window, and a table of all windows with all ten scores for a spreadsheet.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
report = found.save(folder)[0]
print(f"{report.name}: {report.stat().st_size / 1e6:.1f} MB")
print((folder / "timeline.csv").read_text("utf-8")[:66])

# %%
# What next?
# ----------
# On the command line: ``dftlrp explain MODEL.onnx DAY.wav --target seven --top 8``. Recordings of
# hours need no more memory than this one. :doc:`/guides/recordings` has more, and
# :doc:`the next lesson <05_voice_activity>` is about a model that hears a stream.
