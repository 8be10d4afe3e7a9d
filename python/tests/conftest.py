"""A small finished run, shared by all tests."""

from __future__ import annotations

from typing import Any

import pytest

import pallium

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "runs": 2,
    "tasks": ["cognition.one-choice", "cognition.go-no-go"],
    "substrate": {"neurons": 16},
    "training": {"epochs": 2, "trials": 128, "validation": 32, "test": 64, "batch": 32},
    "variant": [
        {"name": "free"},
        {
            "name": "bound*",
            "geometry": "soma",
            "constraints": [{"use": "spatial.distance", "strength": 0.01}],
        },
    ],
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pallium.Run:
    return pallium.run(SMALL, tmp_path_factory.mktemp("runs") / "small", progress=False)


@pytest.fixture
def small() -> dict[str, Any]:
    """One training of the small experiment."""
    return {**SMALL, "runs": 1, "tasks": ["cognition.go-no-go"], "variant": [{"name": "free"}]}
