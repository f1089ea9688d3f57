"""The project's chores: ``nox`` runs the tests and the linters."""

import nox

nox.options.sessions = ["tests", "lint"]
KERAS = ["tensorflow-cpu==2.21.0", "tf2onnx==1.17.0"]
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "PyWavelets", "pytest-mpl"]
# torch's small build for Linux is that of download.pytorch.org/whl/cpu; zennit imports torchvision,
# which the tests stand in for
TORCH = "torch==2.13.0"

TUTORIALS = ["espeakng-loader==0.2.4", "silero-vad==6.2.3"]  # .ci/run: too


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests, as the README's command runs them."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", *session.posargs)


@nox.session
def oracles(session: nox.Session) -> None:
    """All tests, with the peers that they compare with."""
    extras = "test,browser,wavelets,cluster,biosignals,media"
    session.install("-e", f".[{extras}]", TORCH, "librosa", "onnxscript")
    session.install("--no-deps", "zennit==0.5.1", "torchvision", "captum==0.9.0")
    peers = {"DFTLRP_PEERS": "torch zennit captum onnxscript distributed edfio wfdb pymseed av"}
    session.run("pytest", "-q", "-m", "", *session.posargs, env=peers)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types and import layers."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def release(session: nox.Session) -> None:
    """Sdist and wheel, checked, and each tried in an empty environment."""
    session.install("-r", ".ci/release.txt")
    session.run("python", ".ci/release.py", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The quick tests, with the lowest versions that pyproject.toml promises."""
    session.install("uv")
    install = ("uv", "pip", "install", "--python", session.virtualenv.location)
    session.run(*install, "--resolution", "lowest-direct", ".")
    session.run(*install, *TOOLS)
    old = "ignore::DeprecationWarning"  # old packages call what is deprecated in newer ones
    session.run("pytest", "-q", "-n", "auto", "-W", old, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in docs/_build/html: all tutorials run, a warning is an error."""
    session.install("-e", ".[docs]", TORCH, "onnxscript")
    session.install(*KERAS)
    session.install("--no-deps", *TUTORIALS)
    session.run("codespell")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "docs/_build/html", *session.posargs)
