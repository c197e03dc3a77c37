# What is used here of a package without types.
from collections.abc import Iterator, Mapping
from typing import Any

class ValidationError(Exception):
    message: str

class Draft7Validator:
    def __init__(self, schema: Mapping[str, Any]) -> None: ...
    def is_valid(self, instance: Any) -> bool: ...
    def iter_errors(self, instance: Any) -> Iterator[ValidationError]: ...
