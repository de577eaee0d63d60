"""Frozen, strict configuration: one section of ``params.yaml`` per stage, unknown keys refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from panderm.core.errors import ConfigError

_ADDED: dict[str, Any] = {"added": True}


def added(default: Any, **limits: Any) -> Any:
    """Return a field that joined a stored description later: while it has its default it is left out of what is written.

    So everything that was made before keeps its bytes, its hashes and its identity. ``limits`` as in ``pydantic.Field``.
    """
    return Field(default=default, json_schema_extra=_ADDED, **limits)


class FrozenConfig(BaseModel):
    """Base of every configuration and description that is stored: immutable, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "configuration") -> Self:
        """Build the config from plain values.

        Raises:
            ConfigError: one sentence naming the first wrong key, what was seen and the keys allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_sentence(cls, error, where)) from error

    @model_serializer(mode="wrap")
    def _without_unused_additions(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if field.json_schema_extra == _ADDED and getattr(self, name) == field.default:
                values.pop(name, None)
        return values


def _sentence(cls: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}; allowed: {', '.join(cls.model_fields)}"
    return f"{where}: {key!r} is {first.get('input')!r}, but {first['msg'][0].lower()}{first['msg'][1:]}"


def read_params(path: Path) -> dict[str, Any]:
    """Return ``params.yaml`` as plain values; a missing file means every default.

    Raises:
        ConfigError: the file cannot be read or is not a YAML mapping.
    """
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); grant access to it") from error
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: bytes that are no UTF-8, a date that is none
        raise ConfigError(f"{path.name} is not YAML ({str(error).splitlines()[0]}); mend the file") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name} holds a {type(values).__name__}, but a mapping of stage -> settings is needed")
    return values


def override(values: dict[str, Any], assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return ``values`` with ``section.key=value`` assignments applied; values are read as YAML.

    Raises:
        ConfigError: an assignment has no ``=`` or no YAML after it, or its path runs through something that is not a mapping.
    """
    result = _deep_copy(values)
    for assignment in assignments:
        dotted, equals, raw = assignment.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"--set {assignment!r} has no value; write it as section.key=value")
        *parents, last = dotted.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"--set {assignment!r}: {parent!r} holds a single value, so nothing can be set below it")
        try:
            node[last] = yaml.safe_load(raw)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"--set {assignment!r} is not YAML ({str(error).splitlines()[0]}); quote the value") from error
    return result


def _deep_copy(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, dict) else v for k, v in values.items()}
