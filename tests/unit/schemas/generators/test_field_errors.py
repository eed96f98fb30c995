"""Field errors: the allowed values and fields, found in the request's own type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from maestro_schemas.commands import decode_request
from maestro_schemas.errors import MaestroError
from maestro_schemas.generators.field_errors import explained


class Wheel(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part of the example."""

    kind: Literal["front", "rear"] = "front"
    rim_size: int = 0


class Cart(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The example."""

    colour: Annotated[Literal["red", "blue"] | None, msgspec.Meta(description="Of the paint.")] = None
    main_wheel: Wheel | None = None
    wheels: list[Annotated[Wheel, msgspec.Meta(description="One.")]] | None = None
    by_name: dict[str, Wheel] | None = None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"colour": "pink"}, "`colour` can't be 'pink'; it is one of: blue, red"),
        ({"colour": "it's at `$.x`"}, "`colour` can't be \"it's at `$.x`\"; it is one of: blue, red"),
        ({"mainWheel": {"kind": "spare"}}, "`mainWheel.kind` can't be 'spare'; it is one of: front, rear"),
        ({"wheels": [{}, {"kind": ""}]}, "`wheels[1].kind` can't be ''; it is one of: front, rear"),
        ({"byName": {"a": {"kind": "up"}}}, "`byName[...].kind` can't be 'up'; it is one of: front, rear"),
        (
            {"whel": 1},
            "the request has no field `whel`; its fields are: colour, mainWheel, wheels, byName",
        ),
        (
            {"mainWheel": {"kynd": 1}},
            "`mainWheel` has no field `kynd`; its fields are: kind, rimSize; did you mean kind?",
        ),
        ({"wheels": {}}, "Expected `array | null`, got `object` - at `$.wheels`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_the_words(given: Any, words: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(given, Cart)
    assert explained(raised.value, Cart) == words


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({"colour": "x" * 100_000}, Cart)
    words = explained(raised.value, Cart)
    assert len(words) < 150
    assert words.endswith("…; it is one of: blue, red")


def test_a_request_of_the_protocol() -> None:
    for name, given, words in (
        (b"confirm", {"as": {}, "ids": ["a"], "kind": "red"}, "it is one of: "),
        (b"session.start", {"as": {}, "id": "a", "role": "king"}, "it is one of: "),
        (b"inbox", {"as": {}, "colour": 1}, "has no field `colour`; its fields are: "),
    ):
        with pytest.raises(MaestroError) as raised:
            decode_request(name, msgspec.msgpack.encode(given))
        assert raised.value.code == "INVALID"
        assert words in raised.value.message
