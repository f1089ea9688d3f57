"""
An ECG, and what lies below hearing
===================================

Sound is not the only signal in time. In this lesson you train a network that finds an extra beat in
an electrocardiogram, explain it lead by lead, and hear heartbeats: played 32 times faster.

You need torch: ``pip install 'dftlrp[torch]'``.
"""

# %%
# Beats whose reason is known
# ---------------------------
# A regular beat has a small P wave, a sharp QRS complex and a T wave. An extra beat from the
# ventricle comes early, has no P wave, and is wide. Four seconds of either are simulated in
# millivolts, in two leads, at 250 samples per second. Lead II shows the heart; the electrode of V1
# is loose, so that there is nothing but noise.

import numpy as np

RATE = 250
rng = np.random.default_rng(0)


def simulate(extra, seconds=4):
    """Return both leads, (2, samples), and when the extra beat comes, or None."""
    time = np.arange(seconds * RATE) / RATE

    def wave(centre, width, height):
        return height * np.exp(-0.5 * ((time - centre) / width) ** 2)

    beats = np.arange(rng.uniform(0.2, 0.6), seconds - 0.1, rng.uniform(0.7, 0.9))
    early = rng.integers(1, len(beats) - 1) if extra else None
    lead = 0.15 * np.sin(2 * np.pi * rng.uniform(0.15, 0.4) * time)  # the patient breathes
    for k, at in enumerate(beats):
        if k == early:
            lead += wave(at - 0.15, 0.05, 1.0) + wave(at + 0.1, 0.06, -0.35)
        else:
            lead += wave(at - 0.16, 0.02, 0.1) + wave(at, 0.012, 1.0) + wave(at + 0.25, 0.045, 0.25)
    loose = rng.uniform(0.05, 0.3) * rng.normal(size=len(time))
    leads = np.stack([lead, loose]) + 0.02 * rng.normal(size=(2, len(time)))
    return leads.astype(np.float32), beats[early] - 0.15 if extra else None


# %%
# A small network learns to tell strips with an extra beat from those without.

import torch

torch.manual_seed(0)
torch.set_num_threads(1)
extra = np.arange(200) % 2
x = torch.tensor(np.stack([simulate(one)[0] for one in extra]))
y = torch.tensor(extra)
net = torch.nn.Sequential(
    torch.nn.Conv1d(2, 8, 25, stride=2),
    torch.nn.ReLU(),
    torch.nn.MaxPool1d(4),
    torch.nn.Conv1d(8, 16, 9),
    torch.nn.ReLU(),
    torch.nn.AdaptiveMaxPool1d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(16, 2),
)
optimiser = torch.optim.Adam(net.parameters(), 0.005)
for _ in range(20):
    for batch in torch.randperm(200).split(20):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        optimiser.step()
net.eval()

unseen = np.stack([simulate(one)[0] for one in extra[:100]])
right = (net(torch.tensor(unseen)).argmax(1).numpy() == extra[:100]).mean()
print(f"right on strips that it has not seen: {right:.0%}")
assert right > 0.95

# %%
# A file with names
# -----------------
# Recordings come in files. This one keeps the leads by their names, with rate and unit. dftlrp also
# reads EDF, WFDB, MATLAB and tables (:doc:`/guides/signals`).

import tempfile
from pathlib import Path

import dftlrp

strip, at = simulate(extra=True)
path = Path(tempfile.mkdtemp()) / "strip.npz"
np.savez(path, II=strip[0], V1=strip[1], fs=RATE, unit="mV")

model = dftlrp.load(net, example=strip[None], rate=RATE)
e = dftlrp.explain(model, path, channels=["II", "V1"], labels=["regular", "extra beat"])
print(e)

# %%
# Seconds and hertz are those of the heart: what speaks for an extra beat lies around one moment and
# below 5 Hz, for a wide beat is a slow one. Is it the beat that was put in?

share = e.share(time=(at - 0.2, at + 0.4))
print(f"the extra beat comes at {at:.2f} s; around it lies {share:.0%} of the relevance")

assert e.label == "extra beat"
assert share > 0.9
assert e.share(band=(0, 10)) > 0.9

# %%
# It is. There is more than everything, since regular beats speak against an extra one: look at the
# sharp QRS complexes in blue.

e

# %%
# Lead by lead
# ------------
# Each lead is an explanation of its own, and their relevance adds up to the whole. The loose
# electrode should not count.

total = e.relevance["time"].sum()
for lead in e.channels:
    print(f"{lead.channel_names[0]:3} {lead.relevance['time'].sum() / total:5.0%}")

assert e.channels[0].relevance["time"].sum() / total > 0.9

# %%
# So the network looks at the heart, and the noise of V1 even takes a little away. Had V1 a large
# share, the answers would hang on noise, however many of them were right.
#
# Hear the heart
# --------------
# A heart beats far below what one can hear, so the sound is played faster, by a power of two that
# the result states. Four seconds are over in an eighth of a second; take a minute instead. The
# network reads any length, and one beat of the minute is an extra one.

minute, at = simulate(extra=True, seconds=60)
reads_a_minute = dftlrp.load(net, example=minute[None], rate=RATE)
long = dftlrp.explain(reads_a_minute, minute, labels=e.labels)
heard = long.channels[0].audible("original")
print(heard)
print(f"the extra beat is heard after {at / heard.speed:.2f} s")
heard

# %%
# Regular beats become a low hum, in which the extra beat is a bump. Of what supported "extra beat",
# only the bump is left:

assert heard.speed == 32
assert long.share(time=(at - 0.2, at + 0.4)) > 0.9

long.channels[0].audible("resynthesis")

# %%
# What next?
# ----------
# On the command line: ``dftlrp explain MODEL.onnx 100.hea --channels MLII``. :doc:`/guides/signals`
# says how names, rates and units are found in files of each format.
