# What is used here of a package without types.
from collections.abc import Mapping
from typing import Any

from ansible.parsing.dataloader import DataLoader

def load_extra_vars(loader: DataLoader) -> Mapping[str, Any]: ...
