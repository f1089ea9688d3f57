"""What the tests of runs share."""

from __future__ import annotations

import pytest
from jobs import done, files


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The files of a run with one worker."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert done(folder) == []
    return files(folder)
