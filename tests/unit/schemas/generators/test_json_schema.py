"""The generated files match the code, and the schemas accept real documents."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest

from maestro_schemas import outbox_entry
from maestro_schemas.generators import json_schema
from maestro_schemas.outbox_entry import OutboxEntry
from maestro_schemas.sessions import Session, StoredSession
from support.vectors import SCHEMAS, Vector, vectors

if TYPE_CHECKING:
    from pathlib import Path

ALL = vectors()
PLACE = "maestro_schemas/json_schemas"


def validator(name: str) -> Any:
    """The validator of a schema file, found as a program finds it that uses the installed package."""
    schema = json.loads(
        resources.files("maestro_schemas").joinpath("json_schemas", f"{name}.schema.json").read_text()
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def copy(tmp_path: Path) -> str:
    """A directory with the generated files, which a test may change."""
    for folder in ("generators", "json_schemas"):
        os.makedirs(tmp_path / "maestro_schemas" / folder)
    for name in json_schema.generated():
        shutil.copy(os.path.join(SCHEMAS, name), tmp_path / name)
    return str(tmp_path)


def test_the_files_are_what_the_code_says() -> None:
    assert json_schema.differing(SCHEMAS) == [], "run `just schemas`"
    command = [sys.executable, "-m", "maestro_schemas.generators.json_schema", "--check"]
    assert subprocess.run(command, check=False).returncode == 0


def test_a_changed_a_missing_and_a_foreign_file_are_listed_and_repaired(copy: str) -> None:
    with open(os.path.join(copy, PLACE, "event.schema.json"), "a", encoding="utf-8") as file:
        file.write("\n")
    os.unlink(os.path.join(copy, PLACE, "message.schema.json"))
    shutil.copy(os.path.join(copy, PLACE, "error.schema.json"), os.path.join(copy, PLACE, "old.schema.json"))
    with open(os.path.join(copy, "maestro_schemas", "documents.py"), "a", encoding="utf-8") as file:
        file.write("\n")
    assert json_schema.differing(copy) == [
        "maestro_schemas/documents.py",
        f"{PLACE}/event.schema.json",
        f"{PLACE}/message.schema.json",
        f"{PLACE}/old.schema.json",
    ]
    json_schema.write(copy)
    assert json_schema.differing(copy) == []


@pytest.mark.parametrize("vector", [v for v in ALL if v.file.startswith("requests")], ids=lambda v: v.kind)
def test_requests_fit_their_schema(vector: Vector) -> None:
    schema = validator("requests")
    assert list(schema.iter_errors({vector.kind: msgspec.to_builtins(vector.document)})) == []
    assert list(schema.iter_errors({vector.kind: {**vector.document, "other": 1}}))
    assert list(schema.iter_errors({f"{vector.kind}s": vector.document}))


@pytest.mark.parametrize("vector", [v for v in ALL if v.file == "replies"], ids=lambda v: v.kind)
def test_replies_fit_their_schema(vector: Vector) -> None:
    schema = validator("replies")
    assert list(schema.iter_errors({vector.kind: msgspec.to_builtins(vector.document)})) == []
    # A client passes over what a newer broker adds.
    document = msgspec.to_builtins(vector.document)
    assert list(schema.iter_errors({vector.kind: {**document, "other": 1}})) == []


@pytest.mark.parametrize("vector", [v for v in ALL if v.file == "events"], ids=lambda v: v.kind)
def test_events_fit_their_schema(vector: Vector) -> None:
    schema = validator("event")
    assert list(schema.iter_errors(vector.document)) == []
    assert list(schema.iter_errors({**vector.document, "event": "message.lost"}))


@pytest.mark.parametrize("vector", [v for v in ALL if v.file == "errors"], ids=lambda v: v.kind)
def test_errors_fit_their_schema(vector: Vector) -> None:
    assert list(validator("error").iter_errors(vector.document)) == []


def test_messages_and_sessions_of_replies_fit_the_schemas_of_their_own() -> None:
    message, session = validator("message"), validator("session")
    for vector in ALL:
        if vector.file == "replies" and vector.kind == "messages":
            # Each entry holds its message, and `session` is an id.
            assert [
                error for said in vector.document["messages"] for error in message.iter_errors(said["message"])
            ] == []
        elif vector.file == "replies" and vector.kind in ("search", "threads", "analytics"):
            shown = [hit["message"] for hit in vector.document.get("hits", ())]
            shown += [thread["newest"] for thread in vector.document.get("threads", ())]
            assert [error for found in shown for error in message.iter_errors(found)] == []
        elif vector.file == "replies":
            for found in [vector.document.get("message"), *vector.document.get("messages", [])]:
                assert found is None or list(message.iter_errors(found)) == []
            for found in [vector.document.get("session"), *vector.document.get("sessions", [])]:
                assert found is None or list(session.iter_errors(found)) == []


def test_an_id_that_could_be_a_path_does_not_fit() -> None:
    [whole] = [v.document["message"] for v in ALL if v.file == "replies" and v.kind == "message"]
    assert list(validator("message").iter_errors({**whole, "id": "../secret"}))


def test_the_files_of_the_outbox_and_of_sessions_fit() -> None:
    entry = OutboxEntry(
        1, "sess_a", "token", {"id": "msg_1", "to": "bob", "message": "x"}, {"code": "A", "message": "b"}
    )
    assert list(validator("outbox-entry").iter_errors(json.loads(outbox_entry.encode(entry)))) == []
    session = Session(id="a", role="worker", project_id="p", status="idle", started_at=1, last_activity=1)
    stored = json.loads(msgspec.json.encode(StoredSession(session=session, token_hash="00")))
    assert list(validator("session-file").iter_errors(stored)) == []


def test_descriptions_use_the_names_on_the_wire() -> None:
    definitions = json_schema.schemas()["replies.schema.json"]["$defs"]
    assert "`hasMore`" in definitions["DeadReply"]["properties"]["before"]["description"]
    metadata = json_schema.schemas()["requests.schema.json"]["$defs"]["Metadata"]["properties"]
    assert "`inReplyTo`" in metadata["threadId"]["description"]


def test_the_comment_above_a_field_is_its_description_also_where_it_is_inherited() -> None:
    definitions = json_schema.schemas()["requests.schema.json"]["$defs"]
    assert definitions["Dead"]["properties"]["before"]["description"] == requests_comment("Dead", "before")
    assert definitions["Dead"]["properties"]["as"]["description"] == requests_comment("Request", "who")


def requests_comment(owner: str, field: str) -> str:
    """The comment above a field in requests.py, found without the code under test."""
    with open(os.path.join(SCHEMAS, "maestro_schemas", "requests.py"), encoding="utf-8") as file:
        body = file.read().split(f"class {owner}(")[1]
    above = body.split(f"\n    {field}: ")[0].split("\n")
    return above[-1].removeprefix("    # ")


def test_the_command_writes_into_its_checkout_and_nowhere_else(
    copy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        json_schema, "__file__", os.path.join(copy, "maestro_schemas", "generators", "json_schema.py")
    )
    assert json_schema.main([]) == 1
    assert "this is not one" in capsys.readouterr().err
    with open(os.path.join(copy, "PROTOCOL.md"), "w", encoding="utf-8"):
        pass
    os.unlink(os.path.join(copy, PLACE, "event.schema.json"))
    assert json_schema.main(["--check"]) == 1
    assert "event.schema.json" in capsys.readouterr().err
    assert json_schema.main([]) == 0
    assert json_schema.main(["--check"]) == 0
    assert json_schema.main(["--help"]) == 2


def test_a_struct_without_a_docstring_has_no_description() -> None:
    class Undescribed(msgspec.Struct):
        size: int

    found = json_schema.definitions([Undescribed], structs={"Undescribed": Undescribed})
    assert "description" not in found["Undescribed"]
    assert set(found["Undescribed"]["properties"]) == {"size"}
