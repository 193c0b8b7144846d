"""JSON that anyone may have written."""

import json

import pytest

from dualpix.machine.files import parse_json


@pytest.mark.parametrize("value", [None, True, 3, -2.5e-300, "ü", [], {"a": [1, {"b": None}]}, 10**400])
def test_what_json_says_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == value == parse_json(json.dumps(value).encode())


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "1e999", "[-1e999]", '{"a": 1, "a": 1}', b"\xff", "1" * 5000]
)
def test_what_is_no_json_or_cannot_be_held_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
