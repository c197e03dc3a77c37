# What is used here of a package without types.
from typing import Any

def parse(filename: str, *, single: bool = ..., check_ctx: bool = ...) -> dict[str, Any]: ...
