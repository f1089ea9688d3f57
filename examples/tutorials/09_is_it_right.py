"""
Is my explanation right?
========================

A heat map always looks plausible. Whether it names what the model uses is an experiment: change
the recording where the explanation says that it matters, and look at what the score does. In this
lesson you do the experiment by hand, then have dftlrp do it, and then compare several explanations
over many recordings, with loudness and chance beside them.

You need voices: ``pip install espeakng-loader``, and :download:`speaking.py
</../examples/tutorials/speaking.py>` beside the script.
"""

import tempfile
import textwrap
from pathlib import Path

import numpy as np
import speaking

import dftlrp

e = dftlrp.explain("waveform", dftlrp.embedded("clip"))
print(e)

# %%
# By hand
# -------
# The explanation is of a lead: how far "seven" is ahead of the mean of the other words. One third
# of an octave is the strongest of all. Take this band out of the recording and ask the model
# again. Beside it take out two other bands: the one that the explanation calls the strongest
# *against* "seven", which is the second loudest of the recording, and one to which it gives
# nothing.

clip = e.signal["time"]
spectrum, hertz = np.fft.rfft(clip), np.fft.rfftfreq(clip.size, 1 / 8000)


def measure_lead(signal):
    scores = dftlrp.predict("waveform", signal[None, None]).output[0]
    return scores[e.target] - np.delete(scores, e.target).mean()


bands = e.table("bands", count=None)
against = min(bands, key=lambda band: band.relevance)
nothing = bands[-1]
print(f"lead in the recording: {measure_lead(clip):.2f}")
leads = []
for band in (bands[0], against, nothing):
    inside = (hertz >= band.start) & (hertz < band.stop)
    without = np.fft.irfft(np.where(inside, 0, spectrum), clip.size)
    loud = np.sum(np.abs(spectrum[inside]) ** 2) / np.sum(np.abs(spectrum) ** 2)
    leads.append(measure_lead(without))
    print(f"without {band}, which is {loud:.0%} of the energy: {leads[-1]:.2f}")

# %%
# Without the band that speaks for "seven" the lead collapses. Without the band that speaks against
# it the lead *rises*, loud as it is. And the last band does not matter. The explanation was right
# in all three.

assert leads[0] < measure_lead(clip) / 2
assert leads[1] > measure_lead(clip)
assert abs(leads[2] - measure_lead(clip)) < 0.01

# %%
# By dftlrp
# ---------
# ``e.verify()`` does such an experiment with tiles of time and frequency, and says in one sentence
# what came out. On the command line it is ``dftlrp explain --verify``, and the sentence stands on
# the page.

print(textwrap.fill(str(e.verify()), 76))

# %%
# Tiles can also be taken away one after the other, the most relevant first. The faster the score
# falls, the better the explanation found what matters. Held against it: the least relevant first.

import matplotlib.pyplot as plt

from dftlrp import metrics

curves = metrics.explanation_curves(e, "time-frequency", replace="zero")
figure, panel = plt.subplots(figsize=(6, 3), layout="constrained")
panel.plot(curves.removed, curves.most, label="most relevant first")
panel.plot(curves.removed, curves.least, label="least relevant first")
panel.set(xlabel="share of the tiles removed", ylabel="lead of “seven”")
panel.legend()
plt.show()

# %%
# The area between the two, divided by what there is to lose, is one number: the *symmetric
# relevance gain*. An order drawn at random has 0 on average.

print(f"gain {curves.srg:.2f}")
assert curves.srg > 0.5

# %%
# Over many recordings
# --------------------
# One recording proves little. ``dftlrp.evaluate`` does it for a folder, and for as many
# explanations as you like. Here: the default and the preset ``EpsilonPlus``, on a dozen recordings
# of spoken digits, with bands of frequency taken away. They are replaced by nothing, or by noise
# that sounds like the recording ("stationary").
#
# Four others are always beside. *Amplitude* takes away the loudest first: an explanation that is
# no better has found nothing that you could not see in the spectrum. *Random* is chance,
# *occlusion* tries each band alone, and *gradient x input* is the cheapest that there is.

names = "Diogo Henrique Hugo Jacky Mario Michael"
place = Path(tempfile.mkdtemp())
speaking.write_digits(place / "digits", [f"en+{name}" for name in names.split()])
found = dftlrp.evaluate(
    dftlrp.embedded("waveform"),
    place / "digits",
    limit=12,  # recordings, evenly spread
    variants={"default": {}, "EpsilonPlus": {"composite": "EpsilonPlus"}},
    domains=["frequency"],
    replacements=["zero", "stationary"],
    checks=["faithfulness"],
    folder=place / "evaluation",
)
found

# %%
# The same numbers in Python, each with its standard error:

for cell in found.cells:
    print(f"bands replaced by {cell.replacement}")
    for name, gain in cell.srg.items():
        print(f"    {name:18}{gain.mean:6.2f} ± {gain.error:.2f}")
    assert cell.srg["default"].mean > cell.srg["amplitude"].mean
    assert abs(cell.srg["random"].mean) < cell.srg["default"].mean / 2

# %%
# The default is far above chance, and above loudness. With twelve recordings the errors are wide;
# the sentences on the page say which differences are clear. On the command line::
#
#     dftlrp evaluate waveform digits --composite auto EpsilonPlus --limit 12
#
# All measures and replacements: :doc:`/guides/evaluate`. What was measured over many models, and
# why the defaults are what they are: :doc:`/explanation/rightness`.
