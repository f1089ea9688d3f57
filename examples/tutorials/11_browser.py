"""
One file that explains itself
=============================

Where a model is used, dftlrp need not be: in a service, on a telephone, in a web page. In this
lesson you write a model and its explanation into *one* ONNX file, run it with onnxruntime and
nothing else, check that the numbers agree, and serve it to a browser.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import dftlrp

place = Path(tempfile.mkdtemp())
file = place / "explained.onnx"
dftlrp.export("waveform", file, domains=["time", "frequency"])
before, after = dftlrp.embedded("waveform").stat().st_size, file.stat().st_size
print(f"the model {before / 1e6:.1f} MB, with its explanation {after / 1e6:.1f} MB")

# %%
# On the command line this is ``dftlrp export waveform -o explained.onnx --domains
# time,frequency``. The file holds the forward pass once, and behind it the relevance: the same
# rules as ``dftlrp.explain``, as nodes of the graph.

# %%
# Run it with onnxruntime alone
# -----------------------------
# The program below knows NumPy and onnxruntime. It runs in a process of its own, in which dftlrp
# is never imported. The file reads the samples and the ``target``, the number of the class that is
# to be explained, or -1 for the largest output.

program = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
x, target = (entry.name for entry in session.get_inputs())
clip = np.load(sys.argv[2])
found = session.run(None, {x: clip, target: np.array([-1])})
names = [entry.name for entry in session.get_outputs()]
np.savez(sys.argv[3], **dict(zip(names, found)))
assert "dftlrp" not in sys.modules
"""

e = dftlrp.explain("waveform", dftlrp.embedded("clip"), backend="numpy")
np.save(place / "clip.npy", e.signal["time"][None, None].astype(np.float32))
files = [file, place / "clip.npy", place / "found.npz"]
subprocess.run([sys.executable, "-c", program, *map(str, files)], check=True)

found = np.load(place / "found.npz")
for name in found.files:
    print(f"{name:20}{found[name].shape}")

# %%
# Do the numbers agree?
# ---------------------
# With the reference, which computes everything by NumPy in double precision (``backend="numpy"``
# above):

for name, domain in {"relevance": "time", "relevance_frequency": "frequency"}.items():
    here, there = e.relevance[domain], found[name].ravel()
    error = np.abs(here - there).sum() / np.abs(here).sum()
    print(f"in {domain}: {error:.0e} of the sum of |R|")
    assert error < 1e-4

# %%
# And the picture, from the file's own numbers alone. What stands on the axes is in the file, too:
# its metadata entry ``dftlrp`` says what each output means, in which unit, and where it starts.

import json

import matplotlib.pyplot as plt
import onnxruntime

session = onnxruntime.InferenceSession(file)
told = json.loads(session.get_modelmeta().custom_metadata_map["dftlrp"])
print(told["labels"][found["explained"].argmax()], "by", told["composite"])
axis = told["outputs"]["relevance_frequency"]["axes"][-1]
bands = found["relevance_frequency"].ravel()[:4000].reshape(-1, 50).sum(axis=1)
hertz = axis["start"] + 50 * axis["step"] * np.arange(bands.size)
figure, panel = plt.subplots(figsize=(6, 2.5), layout="constrained")
panel.bar(hertz, bands, width=50, align="edge")
panel.set(xlabel="frequency (Hz)", ylabel="relevance")
plt.show()

# %%
# In a browser
# ------------
# onnxruntime also runs in browsers, as WebAssembly. The program ``examples/browser/serve.py`` of
# the repository gathers a page of sixty lines, such a file, and the runtime (by ``npm pack``), and
# serves them::
#
#     python examples/browser/serve.py
#
# Open http://localhost:8000, choose a recording, and it is explained in your browser in a tenth of
# a second. The recording never leaves your computer: there is no server that could read it.
#
# More about such files, open batches and front ends: :doc:`/guides/export`.
