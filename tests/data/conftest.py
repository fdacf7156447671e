"""Fixtures for the tests of data sets."""

import pytest

from data import omniglot
from tests.data.small_omniglot import HALVES, SAMPLES


@pytest.fixture
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small Omniglot instead of the real one."""
    monkeypatch.setattr(omniglot, "HALVES", HALVES)
    monkeypatch.setattr(omniglot, "SAMPLES", SAMPLES)
