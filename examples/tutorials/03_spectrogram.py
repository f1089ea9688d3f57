"""
A model that reads a spectrogram
================================

Many networks never see a waveform: some code of yours computes a mel spectrogram, and the network
reads that. In this lesson you train such a network, tell dftlrp how its features are computed, let
it check what you told, and then explain the *sound*.

You need torch: ``pip install 'dftlrp[torch]'``.
"""

# %%
# A network and its features
# --------------------------
# The task is small, so that the reason for each answer is known: somewhere in a second of noise is
# a whistle, and the question is whether it rises or falls.

import numpy as np
import torch

import dftlrp

RATE = 8000
rng = np.random.default_rng(0)


def whistle(falls, start, seconds=0.3):
    """Return a second of noise with a whistle between 900 and 2500 Hz in it."""
    t = np.arange(RATE) / RATE
    part = np.clip((t - start) / seconds, 0, 1)
    hertz = 900 + 1600 * (1 - part if falls else part)
    return 0.02 * rng.normal(size=RATE) + 0.2 * np.sin(np.pi * part) * np.sin(
        2 * np.pi * np.cumsum(hertz) / RATE
    )


# %%
# This is the code that computes the features, a log-mel spectrogram in plain NumPy. Yours may call
# librosa or torchaudio. The details matter (a window, a formula for mel, a logarithm), because the
# network learned from these numbers and no others.

N_FFT, HOP, MELS = 256, 80, 24


def features(x):
    """Return log-mel features (mel, frame) of a waveform."""
    frames = np.lib.stride_tricks.sliding_window_view(x, N_FFT)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1])) ** 2
    top = 2595 * np.log10(1 + 4000 / 700)  # 4000 Hz in mel
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    hertz = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    up = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    return np.log(np.maximum(0, np.minimum(up, down)) @ power.T + 1e-5).astype(np.float32)


# %%
# The network is trained in a few seconds on 200 whistles.

torch.manual_seed(0)
torch.set_num_threads(1)
falls = np.arange(200) % 2
read = np.stack([features(whistle(y, rng.uniform(0, 0.7))) for y in falls])[:, None]
x, y = torch.tensor(read), torch.tensor(falls)
net = torch.nn.Sequential(
    torch.nn.BatchNorm2d(1),
    torch.nn.Conv2d(1, 8, 5, stride=2),
    torch.nn.ReLU(),
    torch.nn.Conv2d(8, 16, 5, stride=2),
    torch.nn.ReLU(),
    torch.nn.AdaptiveMaxPool2d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(16, 2),
)
optimiser = torch.optim.Adam(net.parameters(), 0.01)
for _ in range(12):
    for batch in torch.randperm(200).split(20):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        optimiser.step()
net.eval()
print(f"right: {(net(x).argmax(1) == y).float().mean():.1%}")

# %%
# dftlrp takes the network as it is, and a clip to explain. From the network alone it could say
# which mel bands and frames matter, but not which *sound* they were.

model = dftlrp.load(net, example=read[:1])
clip = whistle(falls=False, start=0.45)
print(model)

# %%
# Declare
# -------
# A front end says in a few settings how the features are computed. Start with what you know:

declared = dftlrp.FrontEnd(
    rate=RATE,
    samples=RATE,
    n_fft=N_FFT,
    hop=HOP,
    center=False,
    n_mels=MELS,
    log="ln",
    floor=0.0,
    offset=1e-5,
    layout=("batch", 1, "frequency", "time"),
)

# %%
# Check
# -----
# Do these settings give the numbers that the network learned from? Give the check your own features
# of any clip; it computes them as declared, and compares.

checked = dftlrp.check_frontend(model, clip, features(clip), frontend=declared)
print(checked)

assert not checked.ok
assert checked.settings == ("mel_scale", "mel_norm")

# %%
# They do not, and the check says why: there are two formulas for mel in use, and two ways to scale
# the filters. Explanations of wrong features would have looked just as fine. The check also knows
# the declaration that is right:

frontend = checked.found
again = dftlrp.check_frontend(model, clip, features(clip), frontend=frontend)
print(again)
assert again.ok

# %%
# Explain
# -------
# With the front end, such a network is explained like any other. Relevance goes from the answer to
# the mel bands, and on through logarithm, filters and Fourier transform to the waveform.

e = dftlrp.explain(
    model,
    clip,
    frontend=frontend,
    labels=["rising", "falling"],
    domains=["time", "time-frequency", "mel"],
)
print(e)

# %%
# The answer is right. Is it right for the right reason? The whistle lasts from 0.45 to 0.75 s; all
# else is noise.

print(f"during the whistle                   {e.share(time=(0.45, 0.75)):.0%}")
print(f"and where it is, 850 to 2600 Hz      {e.share(time=(0.45, 0.75), band=(850, 2600)):.0%}")

assert e.label == "rising"
assert 0.9 < e.share(time=(0.45, 0.75), band=(850, 2600)) < 1.2

# %%
# So it is: nearly all of the relevance lies on the whistle. In the picture the red parts climb
# along it.

e

# %%
# Hear
# ----
# Since relevance has come to the waveform, there is a sound of what supported the answer. The noise
# is gone:

e.audible("resynthesis")

# %%
# What did the network itself read? The domain ``"input"`` holds its features and their relevance,
# as its own axes have them.

own = dftlrp.explain(model, clip, frontend=frontend, labels=e.labels, domains=["input"])
print("features", own.signal["input"].shape, " relevance", own.relevance["input"].shape)
band, frame = np.unravel_index(own.relevance["input"][0].argmax(), (MELS, 97))
print(f"strongest: mel band {band}, frame {frame}, at {(frame * HOP + N_FFT / 2) / RATE:.2f} s")

# %%
# What next?
# ----------
# On the command line ``dftlrp frontend init MODEL.onnx --like librosa`` writes a declaration with
# the settings of a library, and ``dftlrp frontend check`` does what you did here.
# :doc:`/guides/frontend` has all settings.
