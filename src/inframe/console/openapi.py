"""The OpenAPI description of ROUTES, made from the table itself."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inframe import __version__
from inframe.console.door import CSRF_HEADER

if TYPE_CHECKING:
    from inframe.console.route import Route

_REFUSED = {
    "400": "not whole",
    "401": "log in",
    "403": "not this page, or not this role",
    "404": "not there",
    "408": "too slow",
    "409": "the device refused",
    "413": "too long",
    "415": "not JSON",
    "422": "not as described",
    "429": "too many",
    "503": "busy, or not there yet",
}


def document(routes: "Iterable[Route]") -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "inframe console", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": {"Error": error},
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "inframe"}},
        },
    }


def _operation(route: "Route") -> dict[str, Any]:
    text = (route.answer.__doc__ or "").strip()
    kind = "text/plain" if route.path == "/metrics" else "application/json"
    refused = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    told: dict[str, Any] = {
        "summary": text.splitlines()[0],
        "operationId": f"{route.method.lower()}_{route.path.strip('/').replace('/', '_').replace('.', '_')}",
        "description": f"Role: {route.role.name.lower() if route.role is not None else 'none'}",
        "responses": {
            "200": {"description": "done", "content": {kind: {"schema": {}}}},
            **{status: {"description": why, **refused} for status, why in _REFUSED.items()},
        },
    }
    parameters = _query(route)
    if route.method == "POST" and route.role is not None:
        text = "the session's secret, of /api/session"
        schema = {"type": "string"}
        parameters.append(
            {"name": CSRF_HEADER, "in": "header", "required": True, "schema": schema, "description": text}
        )
    if parameters:
        told["parameters"] = parameters
    if route.role is not None:
        told["security"] = [{"session": []}]
    if route.body is not None:
        schema = route.body.model_json_schema()
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told


def _query(route: "Route") -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema()
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": one}
        for name, one in schema["properties"].items()
    ]
