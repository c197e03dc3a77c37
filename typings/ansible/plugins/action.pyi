# What is used here of a package without types.
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

class Task(Protocol):
    @property
    def args(self) -> Mapping[str, Any]: ...
    @property
    def check_mode(self) -> bool: ...

class Shell(Protocol):
    tmpdir: str | None
    def join_path(self, *parts: str) -> str: ...

class PlayContext(Protocol):
    remote_user: str | None

class Connection(Protocol):
    @property
    def transport(self) -> str: ...
    @property
    def _shell(self) -> Shell: ...

class ActionBase:
    _task: Task
    _connection: Connection
    _play_context: PlayContext
    _loader: DataLoader
    _templar: Templar

    def __init__(
        self,
        task: Task,
        connection: Connection,
        play_context: object,
        loader: DataLoader,
        templar: Templar,
        shared_loader_obj: object = ...,
    ) -> None: ...
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]: ...
    def validate_argument_spec(
        self, argument_spec: Mapping[str, Any], *, required_one_of: Sequence[Sequence[str]] = ...
    ) -> tuple[object, dict[str, Any]]: ...
    def _execute_module(
        self,
        *,
        module_name: str | None = ...,
        module_args: dict[str, Any] | None = ...,
        task_vars: dict[str, Any] | None = ...,
    ) -> dict[str, Any]: ...
    def _make_tmp_path(self, remote_user: str | None = ..., /) -> str: ...
    def _remove_tmp_path(self, tmp_path: str | None, force: bool = ..., /) -> None: ...
    def _transfer_file(self, local_path: str, remote_path: str, /) -> str: ...
