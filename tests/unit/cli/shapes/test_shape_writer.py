"""Shape writer: the page and the schema are those of the shapes, and every command has its row."""

from __future__ import annotations

import jsonschema

from maestro_cli.help.command_rows import every_command
from maestro_cli.shapes import shape_writer
from maestro_cli.shapes.by_command import SHAPES, WITHOUT_JSON


def test_the_written_files_are_those_of_the_shapes() -> None:
    with open(shape_writer.PAGE, encoding="utf-8") as file:
        text = file.read()
    assert text == shape_writer.page(text), "run `just schemas`"
    with open(shape_writer.SCHEMA, encoding="utf-8") as file:
        assert file.read() == shape_writer.schema_text(), "run `just schemas`"


def test_each_command_has_a_shape_or_a_reason() -> None:
    commands = {" ".join(words) for words, _ in every_command()}
    assert commands == {key.partition(" --")[0] for key in SHAPES} | set(WITHOUT_JSON)
    assert not set(SHAPES) & set(WITHOUT_JSON)


def test_the_schema_is_one() -> None:
    schema = shape_writer.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["session list"] == {"type": "array", "items": {"$ref": "#/$defs/ListedSession"}}
    assert schema["properties"]["log"] == {"$ref": "#/$defs/LoggedMessage"}
    # The comments above the fields are their descriptions, and the names are those of the wire.
    assert schema["$defs"]["StartedBroker"]["properties"]["started"]["description"] == "False: it ran already."
    assert not [name for name in schema["$defs"] if name.endswith("Doc")]


def test_the_text_around_the_tables_stays() -> None:
    text = shape_writer.page(f"before\n{shape_writer._BEGIN}what was there\n{shape_writer._END}after\n")
    assert text.startswith("before\n<!--")
    assert text.endswith("-->\nafter\n")
    assert "what was there" not in text
