"""What the tests of `FileSource` look at."""

from pathlib import Path

import pytest

from support.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)
