"""Write docs/reference/glossary.md: the words of this project, each in two sentences.

python docs/reference/glossary.py [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dftlrp.results.glossary import TERMS

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Glossary

Each word is used in this sense only, in the code, in the docs and in what dftlrp prints. The report ends with the same list;
`python docs/reference/glossary.py` writes this page from the table in the code.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    text = HEAD + "\n".join(f"**{term}**: {meaning}\n" for term, meaning in TERMS.items())
    if parser.parse_args().check:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
