# What is used here of a package without types.
from contextlib import AbstractContextManager
from typing import Any

def patch_module_args(args: dict[str, Any] | None = None) -> AbstractContextManager[None]: ...
