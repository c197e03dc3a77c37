# shellcheck shell=bash
# The broken versions of shop.py (molecule/shared/repository.sh), each broken in its own way.
broken import <<'END'
raise RuntimeError("import broken on purpose")
END
broken factory <<'END'


def create_app(currency: str) -> Flask:
    raise RuntimeError("factory broken on purpose")
END
broken callable <<'END'


def create_app(currency: str) -> int:
    return 7
END
# The import alone succeeds: only as a service does the app see RUNTIME_DIRECTORY.
broken service <<'END'
if "RUNTIME_DIRECTORY" in os.environ:
    raise RuntimeError("service broken on purpose")
END
