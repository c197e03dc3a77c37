"""Remedies for errors that many apps meet."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.hints import (
    build_hint,
    conflict_hint,
    missing_module_hint,
    reason,
    runtime_hint,
)
from ansible_collections.groundwork.flask.tests.unit.release_app import App

DATA = on_host("data", "shop")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ModuleNotFoundError: No module named 'pkg_resources'", "add setuptools<81 to its requirements"),
        ("ModuleNotFoundError: No module named 'psycopg2'", "the database's driver is missing"),
        ("ModuleNotFoundError: No module named 'packaging'", "ask for celery[redis] in its requirements"),
        ("Error 111 connecting to localhost:6379. Connection refused.", "gives it one, whose address is REDIS_URL"),
        (
            "limits.errors.ConfigurationError: unknown storage scheme : unix:///run/shop.redis/redis.sock",
            "give it redis+unix:///run/shop.redis/redis.sock (of a cache",
        ),
        ("/bin/bash: line 1: rq: command not found", "add the package that has it to its requirements"),
        ("sqlite3.OperationalError: no such table: user", "have setup_command make them"),
        ("sqlite3.OperationalError: no such table: user", "else release_command, such as `flask db upgrade`"),
        ('psycopg.errors.UndefinedTable: relation "user" does not exist', "have setup_command make them"),
        ("pymysql.err.ProgrammingError: (1146, \"Table 'shop.user' doesn't exist\")", "have setup_command make them"),
        (
            "RuntimeError: The environment variable 'SHOP_SETTINGS' is not set and as such configuration could not",
            "as in `environment: {SHOP_SETTINGS: $RELEASE_DIR/settings.py}`",
        ),
        (
            "FileNotFoundError: [Errno 2] Unable to load configuration file (No such file or directory): 'x'",
            "its file of settings is missing: give it by `settings`",
        ),
        ("sqlite3.OperationalError: unable to open database file", f"DATA_DIR alone ({DATA})"),
        (f"PermissionError: [Errno 13] Permission denied: '{on_host('home', 'shop')}/x'", f"DATA_DIR alone ({DATA})"),
        (
            "MemoryError: Cannot allocate write+execute memory for ffi.callback()",
            "`sandbox: {MemoryDenyWriteExecute: fa",
        ),
        (
            "OSError: [Errno 97] Address family not supported by protocol",
            "`sandbox: {RestrictAddressFamilies: …}` in fla",
        ),
        ("ImportError: no pq wrapper available.", "have the app install psycopg[binary], or add libpq5"),
        (
            "sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:postgres",
            "or write postgresql://",
        ),
        (
            'psycopg.errors.InvalidSqlStatementName: prepared statement "_pg3_26" does not exist',
            "connect with prepare_threshold=None",
        ),
        ("psycopg.errors.InsufficientPrivilege: permission denied for schema public", "ALTER DATABASE shop OWNER TO"),
        (
            'OperationalError: connection is bad: connection to server on socket "/run/x/.s.PGSQL.5432" failed: '
            "No such file or directory\n\tIs the server running locally and accepting connections on that socket?",
            "`systemctl status shop.pooler` say why",
        ),
        (
            'OperationalError: connection to server on socket "/run/x/.s.PGSQL.6432" failed: Connection refused',
            "`systemctl status shop.pooler` say why",
        ),
        (
            "OperationalError: (2003, \"Can't connect to MySQL server on 'localhost' ([Errno 2] No such file "
            'or directory)")',
            "`systemctl status postgresql mariadb`",
        ),
        (
            "MySQLdb.OperationalError: (2002, \"Can't connect to local server through socket '/run/mysqld/mysqld.sock' "
            '(2)")',
            "`systemctl status postgresql mariadb`",
        ),
        (
            "ConnectionError: Error 2 connecting to unix:///run/shop.redis/redis.sock. No such file or",
            "`systemctl status shop.redis",
        ),
    ],
)
def test_what_helps_an_app_that_is_new_to_servers(app: App, said: str, remedy: str) -> None:
    assert remedy in runtime_hint("shop", said)
    app.system.fail = {"-probe:": said}
    with pytest.raises(ReleaseError, match="the app cannot be imported as shop:app; "):
        app.engine().deploy()


def test_against_another_error_nothing_is_known_to_help() -> None:
    assert runtime_hint("shop", "KeyError: 'x'") == ""


MISSED = 'Running `x --version` gave "[Errno 2] No such file or directory'


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ("Error: pg_config executable not found.", "libpq-dev"),
        ("/bin/sh: 1: mysql_config: not found", "default-libmysqlclient-dev"),
        ("src/x.c:1:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "gcc"),
        ("error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'", "gcc"),
        ("fatal error: ffi.h: No such file", "libffi-dev"),
        ("Error: Please make sure the libxml2 and libxslt: xslt-config not found", "libxslt1-dev"),
        ("The headers or library files could not be found for jpeg", "libjpeg-dev"),
        ("fatal error: lber.h: No such file", "libldap-dev"),
        ("error: can't find Rust compiler", "cargo"),
        ("error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-g++'", "g++ and python3-dev"),
        ("error: command 'aarch64-linux-gnu-gcc' failed: No such file or directory", "gcc, libc6-dev"),
        ("error: command 'gcc-12' failed: No such file or directory", "gcc, libc6-dev"),
        ("unable to execute 'clang': No such file or directory", "clang"),
        ("error: [Errno 2] No such file or directory: '/usr/bin/c++'", "g++"),
        ("x.c:1:10: fatal error: 'libpq-fe.h' file not found", "libpq-dev"),
        ("x.c:1:10: fatal error: mysql.h: No such file or directory", "default-libmysqlclient-dev"),
        ("x.c:1:10: fatal error: openssl/opensslv.h: No such file or directory", "libssl-dev"),
        ("x.c:1:10: fatal error: libxml/xpath.h: No such file or directory", "libxml2-dev"),
        ("x.c:1:10: fatal error: zlib.h: No such file or directory", "zlib1g-dev"),
        ("x.c:1:10: fatal error: sqlite3.h: No such file or directory", "libsqlite3-dev"),
        ("x.c:1:10: fatal error: sasl/sasl.h: No such file or directory", "libsasl2-dev"),
        ("x.c:1:10: fatal error: krb5.h: No such file or directory", "libkrb5-dev"),
        ("x.c:1:10: fatal error: cairo.h: No such file or directory", "libcairo2-dev"),
        ("x.c:1:10: fatal error: uuid/uuid.h: No such file or directory", "uuid-dev"),
        ("x.cpp:1:10: fatal error: zmq.hpp: No such file or directory", "libzmq3-dev"),
        ("x.c:1:10: fatal error: portaudio.h: No such file or directory", "portaudio19-dev"),
        ("x.c:1:10: fatal error: curl/curl.h: No such file or directory", "libcurl4-openssl-dev"),
        ("x.c:1:10: fatal error: stdio.h: No such file or directory", "libc6-dev"),
        ("/usr/bin/ld: cannot find -lpq: No such file or directory", "libpq-dev"),
        ("ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang'], ['nvc']]", "gcc"),
        ("ERROR: Unknown compiler(s): [['c++'], ['g++'], ['clang++']]", "g++"),
        ("ERROR: Unknown compiler(s): [['gfortran'], ['flang']]", "gfortran"),
        ('CMake Error: CMake was unable to find a build program corresponding to "Ninja".', "ninja-build"),
        ('CMake was unable to find a build program corresponding to "Unix Makefiles".', "make"),
        ("No CMAKE_CXX_COMPILER could be found.", "g++"),
        ("CMake Error: CMAKE_C_COMPILER not set, after EnableLanguage", "gcc, libc6-dev"),
        ("CMake Error: CMAKE_C_COMPILER not set\nCMake Error: CMAKE_CXX_COMPILER not set", "g++ and python3-dev to"),
        ("Could not find the compiler specified in the environment variable CC:\n\n  x86_64-linux-gnu-gcc.", "gcc"),
        (f"{MISSED}: 'cc'\n{MISSED}: 'gcc'\n{MISSED}: 'clang'", "add gcc, libc6-dev and python3-dev to"),
        (f"{MISSED}: 'c++'\n{MISSED}: 'g++'\n{MISSED}: 'clang++'", "add g++ and python3-dev to"),
        ("sh: 1: pkg-config: not found\nException: Can not find valid pkg-config name.", "default-libmysqlclient-dev"),
        ("setup.py: ERROR: Could not find C compiler", "gcc"),
        ("Exception: you need a C compiler to build uWSGI", "gcc"),
        ("Exception: ERROR: The 'make' utility is missing from PATH", "add make to"),
        ("      proj executable not found. Please set the PROJ_DIR variable.", "libproj-dev"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'dot'", "libgraphviz-dev"),
        ("Can't find a local Berkeley DB installation.", "libdb-dev"),
        ("Please install pkg-config on your system or set the ICU_VERSION environment", "libicu-dev"),
        ("Building h5py requires pkg-config unless the HDF5 path is given by HDF5_DIR.", "libhdf5-dev"),
        ("error: pkg-config probably not installed: FileNotFoundError(2, 'No such file')", "add pkg-config to"),
        ("RuntimeError: CMake must be installed to build dlib", "cmake"),
        ("ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?", "add git to"),
        ("error: Git executable not found. Ensure that Git is installed and available.", "add git to"),
        ("/bin/sh: 1: npm: not found", "add npm to"),
        ("bash: line 1: node: command not found", "add nodejs to"),
        ("/usr/bin/env: \u2018node\u2019: No such file or directory", "add nodejs to"),
        ("Exception: Can not find valid pkg-config name.", "default-libmysqlclient-dev"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'pkg-config'", "pkg-config"),
        ("Package xmlsec1 was not found in the pkg-config search path.", "libxmlsec1-dev"),
        ("/bin/sh: 1: xml2-config: not found", "libxml2-dev"),
        ("Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'", "libcurl4-openssl-dev"),
        ("/bin/sh: 1: krb5-config: not found", "libkrb5-dev"),
        ("gdal_config_error: [Errno 2] No such file or directory: 'gdal-config'", "libgdal-dev"),
        ("Could NOT find PostgreSQL (missing: PostgreSQL_LIBRARY)", "libpq-dev"),
        ('Dependency "cairo" not found, tried pkgconfig and cmake', "libcairo2-dev"),
        ("Cargo, the Rust package manager, is not installed or is not on PATH.", "rustc and cargo"),
        ("xmlsec/x.c:1: fatal error: xmlsec/xmlsec.h: No such file or directory", "libxmlsec1-dev"),
        ("ERROR: Building a package is not possible in non-package mode.", "commit poetry.lock or requirements.txt"),
        ("error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].", "[tool.setuptools]"),
    ],
)
def test_a_failed_build_names_the_packages(said: str, package: str) -> None:
    assert package in build_hint("shop", f"Building wheel\n{said}\n      [end of output]\n")


@pytest.mark.parametrize(
    "said",
    [
        "No matching distribution found for flsk",
        "OSError: [Errno 2] No such file or directory: 'README.md'",
        "error: command '/usr/bin/gcc-12' failed with exit code 1",
        "/bin/sh: 1: vite: not found",
        f"ls: cannot access '{DATA}': No such file or directory",
    ],
)
def test_a_failed_build_for_another_reason_names_none(said: str) -> None:
    assert build_hint("shop", said) == ""


@pytest.mark.parametrize(
    ("output", "named"),
    [
        (
            "  x No solution found when resolving dependencies:\n  Because you require gunicorn==20.0.4 and "
            "gunicorn>=23, we can conclude that your requirements are unsatisfiable.",
            True,
        ),
        ("ERROR: Cannot install gunicorn==20.0.4 and gunicorn>=23 because these package versions have conflicting "
         "dependencies.\nERROR: ResolutionImpossible", True),
        ("Because you require flask==3 and flask==2, your requirements are unsatisfiable.", False),
        ("error: gunicorn could not be downloaded", False),
    ],
)  # fmt: skip
def test_a_conflict_says_who_wants_what(output: str, named: bool) -> None:
    hint = conflict_hint("shop", ["waitress", "gunicorn>=23"], ["flask\nGunicorn==20.0.4  # why\n"], output)
    assert ("'gunicorn>=23' is asked for by flask_apps.shop (its `server`" in hint) is named
    assert ("'Gunicorn==20.0.4 # why' by the source" in hint) is named


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "x\nerror: Multiple top-level packages\nerror: metadata-generation-failed\n",
            "error: Multiple top-level packages",
        ),
        ("  File x\nValueError: no files found for shop\n\nhint: see above\n", "ValueError: no files found for shop"),
        ("something\nelse\n", "else"),
        ("", ""),
    ],
)
def test_the_line_that_says_why(output: str, said: str) -> None:
    assert reason(output) == said


@pytest.mark.parametrize(
    ("file", "module", "where"),
    [
        ("src/shop/__init__.py", "shop", "src/"),
        ("src/shop.py", "shop.views", "src/"),
        ("packages/core/core/__init__.py", "core", "packages/core/"),
        ("shop/__init__.py", "shop", ""),
        ("src/shop/__init__.py", "flask", ""),
    ],
)
@pytest.mark.parametrize("below", ["", "api"])
def test_a_module_of_the_source_that_python_does_not_find(
    code: Path, file: str, module: str, where: str, below: str
) -> None:
    (code / below / file).parent.mkdir(parents=True)
    (code / below / file).touch()
    hint = missing_module_hint(code, below, f"ModuleNotFoundError: No module named '{module}'")
    assert (f"; the source has {module.split('.')[0]} in {where}, where Python does not" in hint) is bool(where)
    assert bool(hint) is bool(where)


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (
            '/srv/a/venv/lib/python3.11/site-packages/rq_dashboard/web.py", line 5, in x\n    from six import x\n',
            True,
        ),
        ('/srv/a/venv/lib/python3.13/site-packages/a.py", line 5, in run\n    import six\n    ^^^^^^^^^^\n', True),
        ('/srv/a/code/shop.py", line 5, in <module>\n    import six\n', False),
        ('/srv/a/venv/lib/python3.11/site-packages/werkzeug/utils.py", line 5, in x\n    __import__(name)\n', False),
    ],
)
def test_a_package_that_imports_what_it_does_not_ask_for(code: Path, frame: str, named: bool) -> None:
    output = f"Traceback (most recent call last):\n  File \"{frame}ModuleNotFoundError: No module named 'six'\n"
    hint = missing_module_hint(code, "", output)
    assert ("name the package that has it, such as `requirements: [six]`" in hint) is named
