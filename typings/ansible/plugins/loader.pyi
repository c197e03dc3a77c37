# What is used here of a package without types.
from collections.abc import Sequence
from typing import Any, Protocol

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

class Lookup(Protocol):
    def run(self, terms: Sequence[str], variables: dict[str, Any]) -> list[Any]: ...

class Lookups:
    def get(self, name: str, *, loader: DataLoader, templar: Templar) -> Lookup: ...

lookup_loader: Lookups

def init_plugin_loader(prefix_collections_path: Sequence[str]) -> None: ...
