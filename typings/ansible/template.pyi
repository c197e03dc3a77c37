# What is used here of a package without types.
from typing import Any

from ansible.parsing.dataloader import DataLoader

class Templar:
    available_variables: dict[str, Any]
    def __init__(self, loader: DataLoader | None = ..., variables: dict[str, Any] | None = ...) -> None: ...
    def template(self, variable: Any) -> Any: ...

def trust_as_template(value: str) -> str: ...
