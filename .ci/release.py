"""Build sdist and wheel, check them, and try each in an empty environment away from the repository.

    python .ci/release.py [--out FOLDER] [--bill FILE] [--tag vX.Y.Z] [--repository ADDRESS]

With --tag, what is built must be the version of that tag: the same number in the changelog, which
has a date, and in CITATION.cff; and the address of the repository must be filled in.  What it needs
is in release.txt beside it.
"""

from __future__ import annotations

import argparse
import email
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELATIVE = re.compile(r"\]\((?!https?:|mailto:|#)")


def run(*words: object, cwd: Path) -> None:
    """Run a module or a file by this Python; end where it fails."""
    subprocess.run([sys.executable, *map(str, words)], cwd=cwd, check=True)


def build(folder: Path) -> tuple[Path, Path]:
    """Return the sdist, and the wheel that is built from it."""
    run("-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    run("-m", "twine", "check", "--strict", sdist, wheel, cwd=folder)
    run("-m", "check_wheel_contents", wheel, cwd=ROOT)  # whose settings it reads
    return sdist, wheel


def read_metadata(wheel: Path) -> Message:
    """Return what the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def check_links(metadata: Message) -> None:
    """End where the README, as an index shows it, has a link that leads nowhere there."""
    text = bytes(metadata.get_payload(decode=True)).decode()
    if found := [line for line in text.splitlines() if RELATIVE.search(line)]:
        raise SystemExit(f"a relative link is left in the description: {found[0]}")


def check_tag(tag: str, repository: str, metadata: Message) -> None:
    """End where a tag is not what was built, or something is still to be filled in."""
    built = metadata["Version"]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    urls = dict(row.split(", ", 1) for row in metadata.get_all("Project-URL", ()))
    cited = f"\nversion: {built}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    wrong = {
        f"the tag is {tag}, dftlrp/__init__.py says {built}": tag != f"v{built}",
        f"CHANGELOG.md has no heading '## {built} (YYYY-MM-DD)'": not re.search(
            rf"^## {re.escape(built)} \(\d{{4}}-\d\d-\d\d\)$", changes, re.MULTILINE
        ),
        f"CITATION.cff has another version than {built}": not cited,
        "pyproject.toml: fill in the address in 'repository = \"\"'": not urls,
        f"pyproject.toml: 'repository' is not {repository}": bool(repository and urls)
        and urls["Homepage"].casefold() != repository.casefold(),
    }
    if found := [text for text, holds in wrong.items() if holds]:
        raise SystemExit("not released:\n  " + "\n  ".join(found))


def try_out(sdist: Path, wheel: Path, bill: Path | None, folder: Path) -> None:
    """Install each in an empty environment, and run the smoke test there.

    With ``bill``, write there what the wheel brought along, as CycloneDX has it.
    """
    venv.create(folder / "empty")
    python = next((folder / "empty").glob("[bS]*/python*"))
    smoke = shutil.copy(ROOT / "tests/smoke.py", folder)
    for file, options in ((wheel, ()), (sdist, ("--no-deps", "--force-reinstall"))):
        print(f"{file.name} in an empty environment", flush=True)
        run("-m", "pip", "--python", python, "install", "-q", *options, file, cwd=folder)
        subprocess.run([python, "-I", smoke], cwd=folder, check=True)
        if bill and file == wheel:
            run("-m", "cyclonedx_py", "environment", "-o", bill.resolve(), python, cwd=folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where sdist and wheel are kept; default: nowhere")
    parser.add_argument("--bill", type=Path, help="where the bill of materials (SBOM) is written")
    parser.add_argument("--tag", help="the tag that is to be released")
    parser.add_argument("--repository", default="", help="the address that it must name")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dist").mkdir()
        sdist, wheel = build(folder / "dist")
        metadata = read_metadata(wheel)
        check_links(metadata)
        if args.tag:
            check_tag(args.tag, args.repository, metadata)
        try_out(sdist, wheel, args.bill, folder)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            for file in (sdist, wheel):
                shutil.copy(file, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
