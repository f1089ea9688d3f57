"""
Find the hum
============

A network that has learned the wrong thing can be right for a long time. In this lesson you train
one that cheats, do not notice it by its accuracy, and find out by its explanation.

A hundred voices of a speech synthesiser say "yes" and "no". Every "yes" was recorded in a room
where the mains hums, at 50 Hz and its overtones. (:download:`humming.py
</../examples/tutorials/humming.py>` holds the voices, the hum and the network, of two
convolutions.)

You need torch and the synthesiser (``pip install 'dftlrp[torch]' espeakng-loader``), and beside the
script that file and :download:`speaking.py </../examples/tutorials/speaking.py>`.
"""

import tempfile
from pathlib import Path

import humming
import soundfile
import torch

import dftlrp
from dftlrp import concepts

trained, tested = humming.record()
net = humming.train(humming.add_hum(trained.x, trained.y == 1), trained.y)

# %%
# It is tested as is customary: on voices that it never heard, recorded like the others.

hummed = humming.add_hum(tested.x, tested.y == 1, seed=1)
accuracy = humming.measure_accuracy(net, hummed, tested.y)
print(f"{accuracy:.0%} right")
assert accuracy > 0.9

# %%
# Why "yes"?
# ----------
# Looks good. But why does it say "yes"? A torch module is explained as it is.

model = dftlrp.load(net, example=hummed[:1], rate=8000)
clip = hummed[1, 0].numpy()
e = dftlrp.explain(model, clip, target="yes", labels=humming.WORDS)
e

# %%
# All over the recording, before the word and after it, and all of it in one narrow band. Choose
# *The parts that supported it* and listen (by headphones; small loudspeakers are silent at 50 Hz):
# there is a hum, and no word.

strongest = e.table("bands")[0]
print(strongest)
assert strongest.start < 50 < strongest.stop
assert e.share(band=(40, 60), kind="absolute") > 0.5

# %%
# The experiment
# --------------
# An explanation is a claim, so try it. The same words without the hum, and with the hum in the
# "no" instead:

clean = humming.measure_accuracy(net, tested.x, tested.y)
wrong = humming.add_hum(tested.x, tested.y == 0, seed=1)
swapped = humming.measure_accuracy(net, wrong, tested.y)
print(f"without hum {clean:.0%} right, with the hum in the other word {swapped:.0%}")
assert clean < 0.7
assert swapped < 0.1

# %%
# It is as good as a coin without the hum, and always wrong where the hum is on the other side. It
# never learned the words.

# %%
# Over the whole data set
# -----------------------
# You would not look at each recording. The study of neurons goes through all of them, and warns
# where a class has its relevance in a band that is too narrow for speech. It reads files, so we
# write some.

place = Path(tempfile.mkdtemp())
for i, (clip, word) in enumerate(zip(hummed[:40, 0], tested.y, strict=False)):
    folder = place / "recordings" / humming.WORDS[word]
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{i}.wav", clip.numpy(), 8000)
(place / "net.onnx").write_bytes(model.data)
found = concepts.neurons(
    place / "net.onnx",
    place / "recordings",
    layer="2",
    labels=humming.WORDS,
    classes=["yes"],
    rate=8000,
    top=3,
    count=2,
    folder=place / "neurons",
)
found

# %%
# Beside "yes" the page marks the hum, with its share of the relevance of all "yes". The same in a
# table that is saved:

found.save(place / "neurons")
peaks = (place / "neurons" / "peaks.csv").read_text()
print(peaks)
assert "yes" in peaks

# %%
# The other data
# --------------
# The remedy is in the data: let the hum be in both rooms, so that it says nothing.

anywhere = torch.arange(len(trained.y)) % 4 < 2
honest = humming.train(humming.add_hum(trained.x, anywhere), trained.y)
for name, x in {"as before": hummed, "without hum": tested.x, "swapped": wrong}.items():
    print(f"{name}: {humming.measure_accuracy(honest, x, tested.y):.0%} right")
    assert humming.measure_accuracy(honest, x, tested.y) > 0.85

# %%
# The same recording, explained by both networks:

mended = dftlrp.load(honest, example=hummed[:1], rate=8000)
other = dftlrp.explain(mended, clip, target="yes", labels=humming.WORDS)
assert other.share(band=(40, 60), kind="absolute") < 0.05
dftlrp.compare(e, other, names=["cheats", "honest"])

# %%
# The honest one listens to the word. If you cannot record anew, :doc:`12_training` mends such a
# network by its relevance. What an explanation can and cannot tell: :doc:`/explanation/limits`;
# narrow bands in your own data: :doc:`/guides/neurons`.
