"""Photos that visitors send: what is accepted, and how it is stored."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from werkzeug.datastructures import FileStorage

# Given to the browser as is: not every server has a table of types that knows WebP.
MIME_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
}
EXTENSIONS = {**{name: name for name in MIME_TYPES}, "jpeg": "jpg"}
STORED_NAME = re.compile(r"[0-9a-f]{32}\.(?:jpg|png|gif|webp)")


def kind_by_name(filename: str) -> str | None:
    """Return the kind of photo (a key of MIME_TYPES) that the file's extension claims, or None."""
    return EXTENSIONS.get(Path(filename).suffix.lower().removeprefix("."))


def kind_by_content(head: bytes) -> str | None:
    """Return the kind of photo that the file's first 16 bytes show, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return "png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return None


def problem_with(upload: FileStorage, max_size: int) -> str | None:
    """Return what is wrong with an uploaded file in words for the visitor, or None. ``max_size`` is in bytes."""
    claimed = kind_by_name(upload.filename or "")
    if claimed is None:
        return "Please choose a JPEG, PNG, GIF or WebP picture."
    head = upload.stream.read(16)
    size = upload.stream.seek(0, os.SEEK_END)
    upload.stream.seek(0)
    if size > max_size:
        return f"The picture is larger than {max_size // (1024 * 1024)} MiB."
    if kind_by_content(head) != claimed:
        return "The file's content is not the kind of picture its name says."
    return None


def store(upload: FileStorage, directory: Path) -> str:
    """Write an accepted photo under a name of our own and return the name; nobody ever sees half a file."""
    name = f"{secrets.token_hex(16)}.{kind_by_name(upload.filename or '')}"
    temporary = directory / f".{name}.part"
    try:
        upload.save(temporary)
        temporary.replace(directory / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return name
