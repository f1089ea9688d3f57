"""Project URLs, and the README as a package index shows it, from the address of the repository.

The address is one line of pyproject.toml.  As long as it is empty a package has no URLs, and of the
README's links to files of the repository only their words are left.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
PLACES = {
    "Homepage": "",
    "Documentation": "/blob/v{version}/docs/index.md",
    "Changelog": "/blob/v{version}/CHANGELOG.md",
    "Source": "/tree/v{version}",
    "Issues": "/issues",
    "Security": "/security/policy",
}


def lead_links(text: str, repository: str, version: str) -> str:
    """Return Markdown in which links to files of the repository lead there, or are words."""

    def lead(found: re.Match[str]) -> str:
        picture, words, file = found.groups()
        if not repository:
            return "" if picture else words
        return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/v{version}/{file})"

    parts = FENCED.split(text)
    return "".join(part if i % 2 else LINK.sub(lead, part) for i, part in enumerate(parts))


class CustomMetadataHook(MetadataHookInterface):
    """What pyproject.toml calls dynamic, but for the version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in URLs and README."""
        repository, version = self.config["repository"].rstrip("/"), metadata["version"]
        text = (Path(self.root) / "README.md").read_text("utf-8")
        readme = lead_links(text, repository, version)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
        urls = {name: repository + path.format(version=version) for name, path in PLACES.items()}
        metadata["urls"] = urls if repository else {}
