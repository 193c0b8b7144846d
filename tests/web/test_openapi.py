"""The description and the server agree."""

import json
from typing import Any

from asking import Client
from starlette.routing import Route

from dualpix.web.app import create_app
from dualpix.web.assets import page_files
from dualpix.web.limits import Limits
from dualpix.web.openapi import describe


def test_every_route_is_described_and_every_description_has_a_route(client: Client) -> None:
    assert client.jobs is not None
    routes: list[Any] = [route for route in create_app(client.jobs).app.routes if isinstance(route, Route)]
    page = {f"/{path}" for path, _, _ in page_files()}
    real = {
        (route.path.replace("{job}", "{id}"), method.lower())
        for route in routes
        for method in route.methods - {"HEAD"}
        if route.path not in page | {"/", "/openapi.json"}
    }
    paths = client.get("/openapi.json").json["paths"]
    told = {(path, verb) for path, entry in paths.items() for verb in entry if verb != "parameters"}
    assert told == real


def test_operations_have_names_of_their_own_and_references_lead_somewhere() -> None:
    described = describe(Limits())
    operations = [op for entry in described["paths"].values() for verb, op in entry.items() if verb != "parameters"]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["summary"].endswith(".") and operation["responses"] for operation in operations)
    text = json.dumps(described)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert references == set(described["components"]["schemas"])


def test_a_job_tells_what_is_described(client: Client, pair: dict[str, bytes]) -> None:
    job = client.done({**pair, "start": "no"})
    schema = describe(Limits())["components"]["schemas"]["Job"]
    assert set(job) == set(schema["properties"]) and set(schema["required"]) <= set(job)
    assert job["state"] in schema["properties"]["state"]["enum"]
