"""
What is "nine" made of?
=======================

An explanation says which parts of one recording a model listens to. Over many recordings you can
ask more: which neurons of the network make it say "nine", and what does each of them listen to? In
this lesson you find them, hear them, and switch them off.

It needs recordings of all ten digits. Sixteen voices of a speech synthesiser say them for us
(``pip install espeakng-loader``; :download:`speaking.py </../examples/tutorials/speaking.py>`
turns its speech into sound files, one folder for each word).
"""

import tempfile
from pathlib import Path

import speaking

import dftlrp
from dftlrp import concepts

names = "Diogo Henrique Hugo Jacky Mario Michael Nguyen antonio "
names += "edward2 gustave iven iven2 michel miguel pablo pedro"
voices = [f"en+{name}" for name in names.split()]
place = Path(tempfile.mkdtemp())
speaking.write_digits(place / "digits", voices)

# %%
# The first nine, and why the embedded model takes it for one. The model was trained on six people
# and has never heard a synthesiser:

dftlrp.explain("waveform", place / "digits/nine/en+michel.wav", target="nine")

# %%
# Neurons of a layer
# ------------------
# Each channel of a convolution is a neuron: it fires where its pattern occurs. We ask for the four
# neurons of the layer ``conv4`` that matter most to "nine". Every recording is explained for its
# own word, and the relevance that arrives at each of the 96 channels of the layer is averaged over
# the recordings of a word.
#
# The result is a page. Click on a picture to open its neuron, and on Play to hear what goes
# through this neuron in the recordings in which it is most relevant.
#
# The page warns of narrow bands near 98 and 208 Hz. Most of these voices speak at about 100 Hz and
# hold that pitch, so that their harmonics meet in the same narrow bands. People differ more; in
# recordings of people such a band is more likely a hum.

found = concepts.neurons(
    dftlrp.embedded("waveform"),
    place / "digits",
    layer="conv4",
    classes=["nine"],
    top=4,  # neurons
    count=3,  # recordings of each
    folder=place / "neurons",
)
found

# %%
# What else does the strongest neuron serve? The number beside each word is the mean relevance that
# passes through the neuron when that word is explained.

best = found.strongest(9)[0]
served = found.serves(best)
for word, relevance in served[:4]:
    print(f"neuron {best} for {found.label(word)}: {relevance:.2f}")
assert found.label(served[0][0]) == "nine"

# %%
# Listen to a neuron
# ------------------
# A *prototype* is a recording in which the neuron is very relevant. It is explained under a
# condition: relevance has to pass through this neuron. Choose *The parts that supported it* and
# play: you hear only what this one neuron takes from the word.

prototype = concepts.prototypes(found.survey, best, count=1)[0]
print(prototype.name)
prototype.explanation

# %%
# Does the neuron itself hear it? The model reads both sounds, the part and the rest, and we look
# at how active the neuron is in each, compared with the whole recording.

heard = prototype.survival
print(f"active in the part: {heard.active_in:.2f}, in the rest: {heard.active_out:.2f}")
assert heard.active_in > 2 * heard.active_out

# %%
# Switch them off
# ---------------
# Relevance is a claim; silencing neurons is the experiment. How much does the score of "nine" fall
# without the five neurons that are most relevant, and how much without five others drawn at
# random?

trial = found.ablation[9]
print(f"without the five most relevant: {trial.most_relevant:.2f}")
print(f"without five drawn at random: {trial.random:.2f}")
print(f"rank correlation of relevance and effect: {trial.correlation:.2f}")
assert trial.most_relevant > 4 * trial.random
assert trial.correlation > 0.8

# %%
# The most relevant neurons are the ones that "nine" needs. The same study is one command, which
# goes on where it was interrupted and writes page, tables and sounds::
#
#     dftlrp neurons waveform digits --layer conv4 --class nine --top 4 --prototypes 3
#
# How to ask it of your own model, and what each number means: :doc:`/guides/neurons`. Whether an
# explanation of a single recording is right is the next lesson.
