"""Lets Ansible find the collection in this checkout, before any test imports a part of it."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

hooks = list(sys.path_hooks)
init_plugin_loader([str(Path(__file__).parents[1] / ".ansible/collections")])
# Its hook for paths takes a program that a test runs by its path for a package.
sys.path_hooks[:] = hooks
sys.path_importer_cache.clear()
