# What is used here of a package without types; its stubs on PyPI know neither create_server nor a server's channels.
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from _typeshed.wsgi import WSGIApplication

class Channel(Protocol):
    requests: Sequence[object]
    request: object | None
    total_outbufs_len: int

class Loop(Protocol):
    def loop(self, timeout: float, use_poll: bool, map: MutableMapping[int, Any], count: int) -> None: ...

class Server(Protocol):
    active_channels: Mapping[int, Channel]
    asyncore: Loop
    _map: MutableMapping[int, Any]
    def pull_trigger(self) -> None: ...

def create_server(application: WSGIApplication, *, sockets: Sequence[socket.socket], **settings: Any) -> Server: ...
