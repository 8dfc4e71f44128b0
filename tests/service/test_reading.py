"""A good request comes in as it was meant."""

from __future__ import annotations

import json

import numpy as np
import pytest

from service.problems import Problem
from service.reading import Bounds, read_request
from service.settings import Settings
from service.work import Task
from tests.service import hostile


def test_lists_and_npy_are_the_same_request() -> None:
    lists = read_request(json.dumps(hostile.GOOD).encode())
    x = np.array(hostile.GOOD["dataset"]["x"], dtype=">f4", order="F")
    files = read_request(hostile.put("/dataset/x", hostile.npy(x)))
    np.testing.assert_array_equal(lists.dataset.x, files.dataset.x)
    np.testing.assert_array_equal(lists.dataset.y, [1.0, 1.0])
    assert [layer.shape for layer in lists.parameters] == [(2, 2), (1, 2)]


def test_index_maps_may_be_npy() -> None:
    index = hostile.npy(np.array([[1, 2]], dtype=np.uint8))
    request = read_request(hostile.put("/network/layers/0/index", index, hostile.SHARED))
    task = Task.of("certify", request)
    assert task.network["layers"][0]["index"] == [[1, 2]]


def test_defaults_and_choices_of_options() -> None:
    request = read_request(hostile.put("/options", {"questions": ["kkt"], "time_limit": 5}))
    assert request.options.questions == ("kkt",)
    assert request.options.time_limit == 5.0
    assert request.options.kkt_tolerance == 1e-6


def test_several_flaws_are_told_at_once() -> None:
    body = hostile.edited(
        lambda b: (b["dataset"].update(y=[0, 1]), b["network"].update(activation="tanh"))
    )
    with pytest.raises(Problem) as caught:
        read_request(body)
    pointers = {error.pointer for error in caught.value.errors}
    assert pointers == {"/dataset/y/0", "/network/activation"}


def test_too_many_numbers() -> None:
    with pytest.raises(Problem, match="MARGINCERT_MAX_NUMBERS"):
        read_request(json.dumps(hostile.GOOD).encode(), Bounds(max_numbers=5))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGINCERT_MAX_BODY_BYTES", "1000")
    monkeypatch.setenv("MARGINCERT_API_KEYS", "a, b")
    settings = Settings()
    assert settings.max_body_bytes == 1000
    assert settings.api_keys == ("a", "b")
    assert "api_keys" not in settings.limits()


def test_every_limit_is_listed() -> None:
    settings = Settings()
    assert set(settings.limits()) == set(Settings.model_fields) - {
        "api_keys", "data_dir", "database", "host", "port",
    }  # fmt: skip
    assert all(field.description for field in Settings.model_fields.values())
