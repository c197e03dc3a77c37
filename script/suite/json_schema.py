"""The JSON schema of `flask_apps`, made from the records of options, for editors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import Option, options
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing.policies import LARGEST_PORT
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    outgoing_options,
    reserved,
    sandbox_options,
    schema,
    servers,
    service_options,
    setting_options,
    site_options,
)

Schema = dict[str, Any]
TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def document() -> Schema:
    """The whole: an inventory, or a file of variables."""
    keys: Schema = {"additionalProperties": {"type": "string"}, "type": "object"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Variables of groundwork.flask, in an inventory or a file of variables",
        "allOf": [reference("variables")],
        "additionalProperties": reference("group"),
        "definitions": {
            "template": {"type": "string", "pattern": r"\{[{%]", "description": "A Jinja expression."},
            "variables": {
                "properties": {
                    "flask_apps": templated(
                        {
                            "type": "object",
                            "description": "The apps, by name.",
                            "propertyNames": {"pattern": whole(schema.APP_NAME)},
                            "additionalProperties": templated(reference("app")),
                        }
                    ),
                    "flask_app_secrets": templated(
                        {
                            "type": "object",
                            "description": "Secret environment variables, by app; encrypt them with ansible-vault.",
                            "additionalProperties": templated(variables(("SECRET_KEY",))),
                        }
                    ),
                    "flask_deploy_keys": templated({**keys, "description": "Private SSH keys for git, by app."}),
                },
            },
            "group": {
                "properties": {
                    "vars": {"anyOf": [{"type": "null"}, reference("variables")]},
                    "hosts": {"additionalProperties": reference("variables")},
                    "children": {"additionalProperties": reference("group")},
                },
            },
            "app": an_object(options(schema.App), SHAPES),
            "site settings": an_object(site_options.SETTINGS, SITE_SHAPES),
            "directory of files": {"anyOf": [{"type": "string"}, an_object(site_options.STATIC, STATIC_SHAPES)]},
        },
    }


def reference(name: str) -> Schema:
    """What is defined elsewhere in the document."""
    return {"$ref": f"#/definitions/{name}"}


def whole(pattern: str) -> str:
    """An expression for a whole text, in the syntax that Python and JavaScript share."""
    return f"^(?:{re.sub(r'[(][?]P<[a-z]+>', '(', pattern)})$"


def templated(one: Schema) -> Schema:
    """What may be a Jinja expression instead."""
    described: Schema = {key: one[key] for key in ("description", "default") if key in one}
    inner = {key: part for key, part in one.items() if key not in described}
    return {**described, "anyOf": [inner, reference("template")]}


def an_object(known: Mapping[str, Option], shapes: Mapping[str, Schema]) -> Schema:
    """A map with these options, and no others."""
    required = [name for name, one in known.items() if one.required]
    return {
        "type": "object",
        "properties": {name: an_option(one, shapes.get(name)) for name, one in known.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def an_option(one: Option, shape: Schema | None = None) -> Schema:
    """One option; ``shape`` for what its record cannot say."""
    found = {"description": one.doc, **(shape or plain(one))}
    if one.kind is not dict and isinstance(one.default, str | int) and one.default != "":
        found["default"] = one.default
    return found if found.get("type") == "string" and len(found) == 2 else templated(found)


def plain(one: Option) -> Schema:
    """An option without its description."""
    found: Schema = {"type": TYPES[one.kind]}
    if one.kind is int:
        return {**found, "minimum": one.at_least, "maximum": one.at_most}
    text: Schema = {"type": "string"}
    if one.choices:
        text["enum"] = list(one.choices)
    elif one.pattern:
        text["pattern"] = whole(one.pattern)
    if one.kind is list:
        return {**found, "items": templated(text) if len(text) > 1 else text}
    return text if one.kind is str else found


def variables(allowed: tuple[str, ...] = ()) -> Schema:
    """Environment variables; ``allowed`` are reserved ones that may stand here."""
    refused = [name for name in reserved.RESERVED_VARIABLES if name not in allowed]
    return {
        "type": "object",
        "propertyNames": {"pattern": whole(schema.VARIABLE.pattern), "not": {"enum": refused}},
        "additionalProperties": {"type": "string"},
    }


def a_server() -> Schema:
    """The options of a server, which depend on the provider."""
    providers = [
        {
            "if": {
                "properties": {"provider": {"const": name}},
                **({} if name == servers.DEFAULT else {"required": ["provider"]}),
            },
            "then": an_object(
                {"provider": schema.PROVIDER, **servers.options_of(name), "options": schema.SERVER_OPTIONS}, {}
            ),
        }
        for name in servers.SERVERS
    ]
    return {"type": "object", "properties": {"provider": an_option(schema.PROVIDER)}, "allOf": providers}


def named(of: type) -> Schema:
    """Processes or jobs, by name."""
    return {
        "type": "object",
        "propertyNames": {"pattern": whole(service_options.NAME.pattern), "not": {"enum": list(service_options.TAKEN)}},
        "additionalProperties": an_object(options(of), {}),
    }


TIME: Schema = {"type": ["string", "integer"], "pattern": whole(site_options.TIME.pattern)}
FILES: Schema = {"type": "object", "additionalProperties": {"$ref": "#/definitions/directory of files"}}
STATIC_SHAPES: Mapping[str, Schema] = {"expires": TIME}
SITE_SHAPES: Mapping[str, Schema] = {
    "auth_basic": TEXTS,
    "headers": TEXTS,
    "cache": TIME,
    "limit_req": {
        "anyOf": [
            {"type": "string", "pattern": f"^none$|{whole(site_options.RATE.pattern)}"},
            an_object(site_options.LIMIT, {}),
        ]
    },
    "static": FILES,
    "media": FILES,
    "paths": {"type": "object", "additionalProperties": {"$ref": "#/definitions/site settings"}},
}
DESTINATION_SHAPES: Mapping[str, Schema] = {
    "ports": {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": LARGEST_PORT},
                {"type": "string", "pattern": whole(outgoing_options.PORT.pattern)},
            ]
        },
    },
}
SHAPES: Mapping[str, Schema] = {
    "environment": variables(reserved.OPEN_VARIABLES),
    "server": a_server(),
    "source": an_object(schema.section("source"), {}),
    "settings": {
        "type": "object",
        "propertyNames": {"pattern": whole(setting_options.PATH.pattern)},
        "additionalProperties": {
            **an_object(options(setting_options.Setting), {}),
            "oneOf": [{"required": [kind]} for kind in setting_options.KINDS],
        },
    },
    "processes": named(service_options.Process),
    "jobs": named(service_options.Job),
    "outgoing": {"type": "array", "items": an_object(options(outgoing_options.Destination), DESTINATION_SHAPES)},
    "database": an_object(schema.section("database"), {}),
    "redis": an_object(schema.section("redis"), {}),
    "proxy": an_object(schema.section("proxy"), SITE_SHAPES),
    "certificate": an_object(schema.section("certificate"), {}),
    "logs": an_object(schema.section("logs"), {}),
    "alerts": an_object(schema.section("alerts"), {}),
    "backup": an_object(schema.section("backup"), {}),
    "sandbox": {
        "type": "object",
        "properties": {
            name: {"type": ["string", "integer", "boolean", "array"], "description": f"For {why}."}
            for name, why in sandbox_options.SANDBOX.items()
        },
        "additionalProperties": False,
    },
}
