"""The document against the application: routes, references, limits, examples, deprecated names."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from serve.app import create_app
from serve.openapi.document import build_document, keys_of
from serve.openapi.examples import PATH, read_examples
from serve.openapi.operations.table import OPERATIONS
from serve.repository.opening import open_repository
from serve.settings import Settings
from tests.serve.test_api_document import openapi_examples
from tests.support.artifacts import CLASSIFIER, write_artifact


def document_of(root: Path, **changes: Any) -> dict[str, Any]:
    settings = Settings(artifacts=root, **changes)
    app = create_app(settings, open_repository(settings))
    content: dict[str, Any] = json.loads(json.dumps(build_document(app.routes, settings)))
    return content


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, CLASSIFIER)
    return root


@pytest.fixture(scope="module")
def document(root: Path) -> dict[str, Any]:
    return document_of(root)


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from objects(child)


def properties(document: dict[str, Any], path: str, media_type: str) -> Any:
    body = document["paths"][path]["post"]["requestBody"]["content"][media_type]["schema"]
    return body["properties"]


def test_every_route_has_a_definition(root: Path) -> None:
    settings = Settings(artifacts=root)
    app = create_app(settings, open_repository(settings))
    missing = set(keys_of(app.routes)) - OPERATIONS.keys()
    assert not missing, f"define in serve/openapi/operations/: {sorted(missing)}"


def test_every_definition_is_of_a_route(document: dict[str, Any]) -> None:
    documented = {(m.upper(), path) for path, item in document["paths"].items() for m in item}
    assert documented == OPERATIONS.keys()


def test_references_lead_somewhere_and_every_component_is_used(document: dict[str, Any]) -> None:
    references = {entry["$ref"] for entry in objects(document) if "$ref" in entry}
    components = {
        f"#/components/{kind}/{name}"
        for kind, entries in document["components"].items()
        if kind != "securitySchemes"
        for name in entries
    }
    # described in the text: no route answers them
    unused = {"#/components/responses/405", "#/components/headers/Allow"}
    unused.add("#/components/responses/401")  # of a server with API keys
    assert references - components == set()
    assert components - references - unused == set()


def test_schemas_are_json_schema(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({**schema, "components": document["components"]})
        assert schema["description"], name
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation["parameters"]:
                jsonschema_rs.meta.validate(parameter["schema"])
                assert parameter["description"]


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(set(names)) == len(names)


def test_the_parameters_of_a_path_are_its_own(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            names = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path)), path


def test_limits_are_those_of_the_settings(root: Path, document: dict[str, Any]) -> None:
    changed = document_of(root, background_side_limit_px=99, background_max_side_px=64, max_files=3)
    sides = [
        properties(d, "/v1/background", "application/json")["max_side"] for d in (document, changed)
    ]
    assert [(side["maximum"], side["default"]) for side in sides] == [(4096, 1024), (99, 64)]
    lists = [
        properties(d, "/v1/face-emotion", "multipart/form-data")["image"]["anyOf"][1]["maxItems"]
        for d in (document, changed)
    ]
    assert lists == [16, 3]


def test_deprecated_names_are_listed(document: dict[str, Any]) -> None:
    face = document["paths"]["/v1/face-emotion"]["post"]
    options = properties(document, "/v1/face-emotion", "multipart/form-data")
    assert {name for name, option in options.items() if option.get("deprecated")} == {"weights"}
    assert [p["name"] for p in face["parameters"] if p.get("deprecated")] == ["weights"]
    schemas = document["components"]["schemas"]
    for name in ("Provenance", "FaceEmotionAnswer", "RoutedModel", "Summary"):
        assert schemas[name]["properties"]["weights"]["deprecated"], name
        assert "weights_origin" in schemas[name]["properties"], name
    old = {
        path
        for path, item in document["paths"].items()
        for o in item.values()
        if o.get("deprecated")
    }
    assert old == {"/api/predict", "/api/predict-async", "/predict", "/api/remove-background"}


def test_a_switched_off_page_is_not_documented(root: Path) -> None:
    assert "/" not in document_of(root, page=False)["paths"]


def test_the_examples_are_those_of_the_api_document() -> None:
    assert json.loads(PATH.read_text(encoding="utf-8")) == openapi_examples(), (
        "write openapi_examples() of test_api_document.py to serve/openapi/examples.json"
    )


@pytest.mark.parametrize("key", read_examples(), ids=" ".join)
def test_the_examples_fit_their_schemas(document: dict[str, Any], key: tuple[str, str]) -> None:
    method, path = key
    content = document["paths"][path][method.lower()]["responses"]["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    validator = jsonschema_rs.validator_for(schema)
    entries = content["application/json"]["examples"].values()
    assert entries
    for entry in entries:
        # the document leaves deprecated fields out
        errors = [e.message for e in validator.iter_errors(entry["value"])]
        assert [e for e in errors if "weights" not in e] == []
