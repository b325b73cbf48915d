"""What the tests of planning share."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    """Traces of this test, not of the user's earlier runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
