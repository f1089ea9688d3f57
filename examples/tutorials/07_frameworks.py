"""
Keras, torch, and an export that went wrong
===========================================

You need not write an ONNX file to explain a model. In this lesson you explain a Keras model and a
torch module as they are, see that they agree, and then catch an exported file that is not the
network that was trained.

You need both frameworks: ``pip install 'dftlrp[torch,tensorflow]'``.
"""

# %%
# A Keras model
# -------------
# Half a second of noise holds a short tone, high or low. A small Keras model learns which.

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # TensorFlow says much when it starts

import keras
import numpy as np

import dftlrp

RATE = 8000
rng = np.random.default_rng(0)
time = np.arange(RATE // 2) / RATE


def tone(high, start):
    """Return half a second of noise with a tone of 0.15 s in it."""
    hertz = rng.uniform(1500, 2000) if high else rng.uniform(300, 500)
    sounding = (time >= start) & (time < start + 0.15)
    x = 0.05 * rng.normal(size=len(time)) + 0.3 * sounding * np.sin(2 * np.pi * hertz * time)
    return x.astype(np.float32)


high = np.arange(128) % 2
clips = np.stack([tone(one, rng.uniform(0, 0.35)) for one in high])

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((len(time), 1)),
        keras.layers.Conv1D(8, 32, strides=4, name="filters"),
        keras.layers.BatchNormalization(momentum=0.9, name="norm"),
        keras.layers.ReLU(),
        keras.layers.MaxPooling1D(8),
        keras.layers.Conv1D(16, 8, activation="relu", name="patterns"),
        keras.layers.GlobalMaxPooling1D(),
        keras.layers.Dense(2, name="scores"),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.005), loss)
history = model.fit(clips[..., None], high, epochs=15, batch_size=16, verbose=0)

# %%
# ``load`` takes the model itself. It is exported in memory, and the export is compared with the
# model's own call before anything is explained.

clip = tone(high=True, start=0.2)
labels = ["low", "high"]
loaded = dftlrp.load(model, rate=RATE)
of_keras = dftlrp.explain(loaded, clip, labels=labels)
print(of_keras)

assert of_keras.label == "high"
assert of_keras.share(time=(0.18, 0.37), band=(1400, 2100)) > 0.8

# %%
# The tone is the reason: 0.2 to 0.35 s, between 1500 and 2000 Hz.

of_keras

# %%
# Layers keep the names that Keras gives them, so that a rule can be set for one of them:

print(*str(loaded.table()).splitlines()[:8], sep="\n")

# %%
# The same in torch
# -----------------
# This is the same network as a torch module, with the weights of the Keras model. Keras' batch norm
# adds 0.001 to the variance, and torch's adds 0.00001, unless it is told otherwise.

import torch


def port(eps):
    """Return the Keras model as a torch module."""
    net = torch.nn.Sequential(
        torch.nn.Conv1d(1, 8, 32, stride=4),
        torch.nn.BatchNorm1d(8, eps=eps),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(8),
        torch.nn.Conv1d(8, 16, 8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveMaxPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 2),
    )
    wanted = [k for k in net.state_dict() if "batches" not in k]
    weights = [torch.tensor(w.T.copy()) for w in model.get_weights()]
    net.load_state_dict(dict(zip(wanted, weights, strict=True)), strict=False)
    return net.eval()


net = port(eps=1e-3)
example = clip[None, None]
of_torch = dftlrp.explain(dftlrp.load(net, example=example, rate=RATE), clip, labels=labels)
away = np.abs(of_torch.relevance["time"] - of_keras.relevance["time"]).max()
print(f"Keras: {of_keras.explained}, torch: {of_torch.explained}")
print(f"largest difference of the relevance of a sample: {away:.0e}")

assert away < 1e-4 * np.abs(of_keras.relevance["time"]).max()

# %%
# Two frameworks, two exporters, one explanation.
#
# An export that differs
# ----------------------
# Now the mistake: somebody rebuilds the network to export it, and forgets the 0.001.

import tempfile
import warnings
from pathlib import Path

path = Path(tempfile.mkdtemp()) / "tone.onnx"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch has a newer exporter, and says so
    torch.onnx.export(port(eps=1e-5), torch.tensor(example), path, dynamo=False)

print("trained: ", net(torch.tensor(example)).detach().numpy())
print("exported:", dftlrp.predict(path, example).output)

# %%
# The file works. It gives the right answers, only not the same numbers, and an explanation of it
# would explain another network. ``dftlrp.check`` compares the file with the network layer by layer,
# in float64. (It also compares the rules of dftlrp on several backends; those rows are left out.)

found = dftlrp.check(path, net, example, backends=["onnx"])
print(*[line for line in str(found).splitlines() if "rules" not in line], sep="\n")

assert not found.ok
assert "first layer '1'" in str(found)

# %%
# The last line names the first layer that differs, which is where to look: part ``1``, the batch
# norm. All that differs behind it follows from it. The export of the network itself passes:

right = dftlrp.check(net, inputs=example, backends=["onnx"])
print(str(right).splitlines()[-1])
assert right.ok

# %%
# What next?
# ----------
# On the command line: ``dftlrp check MODEL.onnx --against network.py:build``, which ends with 1 if
# something differs, so that it can stand in your tests. :doc:`/guides/check` says what is compared
# and how near it must be, :doc:`/guides/backends` which models of a framework are taken.
