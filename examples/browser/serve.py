"""A page that explains a recording in the browser: model and explanation are one ONNX file.

    python examples/browser/serve.py

gathers the page, the embedded model as `dftlrp export` writes it, the embedded clip, and
onnxruntime-web (fetched by ``npm pack``) in a temporary folder and serves it on localhost.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dftlrp

RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = ("index.html", "page.js", "explain.js")


def gather_files(folder: Path, model: str = "waveform") -> None:
    for name in PAGE:
        shutil.copy(Path(__file__).parent / name, folder)
    shutil.copy(dftlrp.embedded("clip"), folder)
    dftlrp.export(model, folder / "explained.onnx", domains=["time", "frequency"])


def fetch_runtime(folder: Path) -> None:
    """Unpack what a page needs of onnxruntime-web (the wasm backend) into ``folder/ort``."""
    with tempfile.TemporaryDirectory() as there:
        subprocess.run(
            ["npm", "pack", "--silent", RUNTIME], cwd=there, check=True, capture_output=True
        )
        with tarfile.open(next(Path(there).glob("*.tgz"))) as pack:
            (folder / "ort").mkdir()
            for name in RUNTIME_FILES:
                content = pack.extractfile(f"package/dist/{name}")
                (folder / "ort" / name).write_bytes(content.read())


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(
        ("localhost", port), partial(SimpleHTTPRequestHandler, directory=folder)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="waveform", help="an embedded model's name")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there)
        gather_files(folder, args.model)
        try:
            fetch_runtime(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"npm cannot fetch {RUNTIME}: {error}", file=sys.stderr)
            return 2
        print(f"http://localhost:{args.port}")
        try:
            make_server(folder, args.port).serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
