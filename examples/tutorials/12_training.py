"""
Relevance in a training loss
============================

In :doc:`10_hum` a network learned a mains hum instead of the words, because every "yes" was
recorded where it hums. Better data would be the remedy. In this lesson you have no better data,
but you know that a hum is no reason to say "yes", and you say so to the network: relevance in the
bands of the hum is a part of its loss. This is called *right for the right reasons*.

(:download:`humming.py </../examples/tutorials/humming.py>` holds the voices, the hum and the
network.)

You need what that lesson needs.
"""

import dftlrp_torch
import humming
import torch

import dftlrp

trained, tested = humming.record()
x = humming.add_hum(trained.x, trained.y == 1)  # each "yes" hums
trials = {
    "recorded as for the training": humming.add_hum(tested.x, tested.y == 1, seed=1),
    "clean": tested.x,
    "hum in the other word": humming.add_hum(tested.x, tested.y == 0, seed=1),
}


def report(net):
    right = [humming.measure_accuracy(net, clips, tested.y) for clips in trials.values()]
    for name, share in zip(trials, right, strict=True):
        print(f"{name}: {share:.0%} right")
    return right


# %%
# Before
# ------
# Trained as usual, the network is nearly perfect on new voices, and no better than a coin without
# the hum.

before = report(humming.train(x, trained.y))
assert before[0] > 0.9
assert before[1] < 0.7

# %%
# Relevance that can be differentiated
# ------------------------------------
# ``dftlrp_torch.relevance`` gives the relevance of each sample as a torch tensor, with a gradient
# back to the weights. Relevance in time becomes relevance in frequency by two transforms and a
# product (:doc:`/explanation/mathematics`), and we add up its size near 50 Hz, 150 Hz and 250 Hz.

hertz = torch.fft.rfftfreq(humming.SAMPLES, 1 / humming.RATE)
hum = sum((hertz - f).abs() < 10 for f in (50, 150, 250)).bool()


def measure_hum(relevance, clips):
    signal, multiplier = torch.fft.rfft(clips), torch.fft.rfft(relevance / clips)
    spectrum = 2 / humming.SAMPLES * (signal * multiplier.conj()).real
    return spectrum[..., hum].abs().sum(-1).mean()


# %%
# The loss has two terms: the words shall be right, and the hum shall be no reason. The network's
# weights go by their names into ``parameters``, so that the model is loaded once and follows the
# training.

net = humming.make_net().eval()
model = dftlrp.load(net, example=x[:1], rate=humming.RATE)
weights = dict(net.named_parameters())
optimiser = torch.optim.AdamW(net.parameters(), lr=0.008)
torch.manual_seed(1)

for step in range(300):
    some = torch.randint(len(x), (32,))
    clips, words = x[some], trained.y[some]
    relevance = dftlrp_torch.relevance(
        model,
        clips,
        target=words.tolist(),
        composite="Epsilon",
        seed="contrast",
        parameters=weights,
    )
    wrong = torch.nn.functional.cross_entropy(net(clips), words)
    hummed = measure_hum(relevance, clips)
    optimiser.zero_grad()
    (wrong + hummed).backward()
    optimiser.step()
    if step % 60 == 59:
        print(f"step {step + 1}: words {wrong.item():.2f}, hum {hummed.item():.3f}")

# %%
# After
# -----
# The same recordings, hum and all, and another network:

after = report(net)
assert after[1] > before[1] + 0.2
assert min(after) > 0.75

# %%
# It is about as good without the hum as with it, and no longer fooled by a hum in the other word.
# On recordings like those of its training it is a little worse than before: it may not take the
# short cut any more.
#
# And why does it say "yes" now? The recording with the hum, explained anew:

clip = trials["recorded as for the training"][1, 0].numpy()
mended = dftlrp.load(net, example=x[:1], rate=humming.RATE)
e = dftlrp.explain(mended, clip, target="yes", labels=humming.WORDS)
print(f"near 50 Hz: {e.share(band=(40, 60), kind='absolute'):.1%} of the relevance")
assert e.share(band=(40, 60), kind="absolute") < 0.1
e

# %%
# Only what is forbidden is unlearned: had the rooms differed in an echo, too, the network would
# now listen for that. So explain again after such a training. Other frameworks:
# :doc:`/guides/backends`.
