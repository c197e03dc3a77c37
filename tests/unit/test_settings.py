"""Files of settings beside an app's code: what may be written, what the controller sends, what a release has of it."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.groundwork.flask.plugins.action import release as plugin
from ansible_collections.groundwork.flask.plugins.module_utils.release import probe
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.setting_files import SettingFile, masked
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_checks, model, role_inputs
from ansible_collections.groundwork.flask.tests.unit.flask_app import app as flask_app
from ansible_collections.groundwork.flask.tests.unit.flask_app import problems
from ansible_collections.groundwork.flask.tests.unit.release_app import App

CANARY = "pa55-w0rd'\"$x"
TEXT = f"DB_PASSWORD = {CANARY!r}\nimport os\n"
PATH = "flask_apps.shop.settings"


# --- what a user may write ----------------------------------------


@pytest.mark.parametrize(
    "path", ["a.py", "instance/config.py", ".env", "a b/ü.cfg", "a/b/c/d", "..a", "a..", "a/..b", ".a/.b", "a."]
)
def test_a_path_below_the_code(path: str) -> None:
    (record,) = model.load(flask_app(settings={path: {"content": "x"}}))
    assert role_inputs.releases(record)["settings"] == {path: {"content": "x", "mode": "0640", "replace": False}}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../a", "a/../b", "a/..", "..", ".", "./a", "a/./b", "a//b", "a/", "", "~/a", "~root/a", "-rf",
        "$DATA_DIR/a", "a\\b", "a\nb", "a\0b", "a\x7f", "a" * 256, "a/" + "b" * 256,
    ],
)  # fmt: skip
def test_a_path_elsewhere(path: str) -> None:
    sentence = f"{PATH}.{path} is not the path of a file below the code's directory: write it as instance/config.py"
    assert sentence in problems(flask_app(settings={path: {"content": CANARY}}))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"a/b": {"content": CANARY}, "a": {"content": CANARY}}, f"{PATH}.a/b cannot be: a is a file of settings too"),
        ({"a": CANARY}, f"{PATH}.a is of type str: write `a: {{template: …}}`, or file, or content"),
        ({"a": [CANARY]}, f"{PATH}.a is a list: write `a: {{template: …}}`, or file, or content"),
        ({"a": None}, f"{PATH}.a is empty: write `a: {{template: …}}`, or file, or content"),
        ({"a": {}}, f"{PATH}.a needs exactly one of template, file, content"),
        ({"a": {"file": "x", "content": CANARY}}, f"{PATH}.a needs exactly one of template, file, content"),
        ({"a": {"content": {"x": CANARY}}}, f"{PATH}.a.content is a map: write a text, in quotes or after |"),
        ({"a": {"content": 7}}, f"{PATH}.a.content is a number: write a text, in quotes or after |"),
        ({"a": {"content": None}}, f"{PATH}.a.content is empty: write a text, in quotes or after |"),
        ({"a": {"content": CANARY, "mode": "0644"}}, f"{PATH}.a.mode: '0644' is not one of 0640, 0440, 0750, 0550: "),
        ({"a": {"content": CANARY, "mode": 416}}, f"{PATH}.a.mode: 416 is not a text"),
        ({"a": {"contents": CANARY}}, f"{PATH}.a.contents is not an option: did you mean content?"),
        ({"a": {"content": CANARY, "replace": "y"}}, f"{PATH}.a.replace: 'y' is not true or false"),
        ([CANARY], f"{PATH} is a list: write each file as `path: {{template: …}}`"),
        (CANARY, f"{PATH} is of type str: write each file as `path: {{template: …}}`"),
    ],
)
def test_refused_without_a_value_being_shown(settings: Any, sentence: str) -> None:
    found = problems(flask_app(settings=settings))
    assert [one for one in found if one.startswith(sentence)], found
    assert CANARY not in "\n".join(found)


def test_a_file_that_the_controller_does_not_have_is_named_before_a_host_is_changed(tmp_path: Path) -> None:
    settings = {"a.py": {"template": f"{tmp_path}/a.j2"}, "b.py": {"file": str(tmp_path)}}
    found = host_checks.host_problems(model.load(flask_app(settings=settings)), "Debian", "13", "3.13.5")
    assert found == [
        f"{PATH}.a.py.template: '{tmp_path}/a.j2' is not a file on the controller: correct the path",
        f"{PATH}.b.py.file: '{tmp_path}' is not a file on the controller: correct the path",
    ]


# --- what the controller sends ----------------------------------------


def sent(settings: dict[str, Any], **variables: Any) -> dict[str, SettingFile]:
    """What the module gets."""
    loader = DataLoader()
    task, shell = SimpleNamespace(args={}, async_val=0, check_mode=False), SimpleNamespace(tmpdir=None)
    templar = Templar(loader=loader, variables=variables)
    action = plugin.ActionModule(task, SimpleNamespace(_shell=shell), None, loader, templar)
    found = action.settings({"name": "shop", "settings": settings}, variables)
    return {path: SettingFile.unpacked(text) for path, text in found.items()}


def test_templates_files_and_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.j2").write_text("USER = '{{ user }}'\n{% if false %}no{% endif %}\nEND\n")
    Path("binary").write_bytes(b"\x00\xff\r\n{{ x }}")
    found = sent(
        {
            "a.py": {"template": "a.j2"},
            "b": {"file": "binary", "mode": "0550"},
            "c": {"content": "{{ x }}\n", "replace": True},
            "empty": {"content": ""},
        },
        user="ann",
    )
    assert found == {
        "a.py": SettingFile(b"USER = 'ann'\nEND\n"),
        "b": SettingFile(b"\x00\xff\r\n{{ x }}", 0o550),
        "c": SettingFile(b"{{ x }}\n", 0o640, replace=True),
        "empty": SettingFile(b""),
    }


@pytest.mark.parametrize(
    ("text", "setting", "sentence"),
    [
        ("{{ nobody }}", {"template": "a"}, "a.py: the template '.*/a' cannot be rendered: .*nobody"),
        ("{% if %}", {"template": "a"}, "a.py: the template '.*/a' cannot be rendered: "),
        ("x" * (2**20 + 1), {"file": "a"}, "a.py has 1048577 bytes: 1048576 are allowed, so keep it in the source"),
        ("", {"file": "b"}, r"a.py: 'b' is not a file .*: correct the path, .*ansible-playbook runs \(.*/test_what_"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", {"file": "a"}, "a.py: the file '.*/a' cannot be read: "),
    ],
)
def test_what_cannot_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, setting: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text(text)
    with pytest.raises(AnsibleActionFail, match=f"^flask_apps.shop.settings.{sentence}"):
        sent({"a.py": setting})


# --- what a release has of it ----------------------------------------


def having(
    app: App, content: str = TEXT, mode: int = 0o640, replace: bool = False, path: str = "instance/config.py"
) -> App:
    """The app with a file of settings."""
    app.spec["settings"] = {path: SettingFile(content.encode(), mode, replace).packed()}
    return app


def test_a_file_is_roots_and_readable_by_the_app_alone(app: App) -> None:
    old = os.umask(0o077)
    try:
        having(app, mode=0o550).deploy()
    finally:
        os.umask(old)
    path = app.at.code(app.at.live() or "") / "instance/config.py"
    assert path.read_text() == TEXT
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o550, 0o750)
    assert path.stat().st_uid == os.geteuid()


def test_it_stands_in_the_directory_that_has_the_app(app: App) -> None:
    app.system.code = {"back/requirements.txt": "flask\n", "back/static/a.css": "x"}
    having(app).deploy(source={**app.spec["source"], "subdirectory": "back"})
    assert (app.at.current / "code/back/instance/config.py").read_text() == TEXT


def test_it_may_make_the_directory_that_an_option_names(app: App) -> None:
    having(app, path="conf/site/x.py").deploy(working_directory="conf", python_path=["conf/site/"])
    assert (app.at.current / "code/conf/site/x.py").exists()


def test_it_defines_the_release_and_a_rollback_brings_it_back(app: App) -> None:
    first = having(app, "A = 'first'\n").deploy()
    assert having(app, "A = 'first'\n").deploy().action == "unchanged"
    second = having(app, "A = 'second'\n").deploy()
    assert second.changes == ["settings.instance/config.py"]
    third = having(app, "A = 'second'\n", mode=0o440).deploy()
    assert len({first.release, second.release, third.release}) == 3
    app.on_host().roll_back(to=first.release)
    assert (app.at.current / "code/instance/config.py").read_text() == "A = 'first'\n"


@pytest.mark.parametrize(
    ("code", "replace", "said"),
    [
        ({"instance/config.py": "x"}, False, "the source has such a file: leave one of them out, or write `replace: "),
        ({"instance/config.py": "x"}, True, ""),
        ({"instance/config.py/x": "x"}, True, "this is a directory of the source: name another place"),
        ({"instance": "x"}, True, "instance is, in the source, a file or leads through a link: name another place"),
        ({"instance": "-> /etc"}, True, "instance is, in the source, a file or leads through a link: name another "),
        ({"instance": "-> static"}, True, "instance is, in the source, a file or leads through a link: name another "),
        ({"instance/config.py": "-> /etc/passwd"}, False, "the source has such a file: "),
        ({"instance/config.py": "-> ../outside"}, True, ""),
    ],
)
def test_what_the_source_has_in_its_place(app: App, code: dict[str, str], replace: bool, said: str) -> None:
    """A link in the source leads root nowhere."""

    def fetch() -> None:
        directory = Path(app.system.steps[-1].cwd)
        for name, text in code.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                path.symlink_to(text[3:])
            else:
                path.write_text(text)

    app.system.on["zipfile.is_zipfile"] = fetch
    if not said:
        having(app, replace=replace).deploy()
        path = app.at.current / "code/instance/config.py"
        assert path.read_text() == TEXT
        assert not path.is_symlink()
        assert not (app.at.current / "code/outside").exists()
    else:
        with pytest.raises(ReleaseError) as refusal:
            having(app, replace=replace).deploy()
        assert refusal.value.step == "fetch"
        assert refusal.value.message.startswith(f"settings.instance/config.py: {said}")


# --- what nobody is shown ----------------------------------------


def test_no_line_of_it_is_shown(app: App) -> None:
    """A traceback quotes the line that is wrong."""
    app.system.ends[probe.MARK] = (1, f'  File "x/config.py", line 1\n    DB_PASSWORD = {CANARY!r}\nSyntaxError: bad')
    with pytest.raises(ReleaseError) as failed:
        having(app).deploy()
    assert failed.value.log == 'File "x/config.py", line 1\n    ********\nSyntaxError: bad'
    app.system.ends.clear()
    having(app).deploy("blue")
    shown = (app.at.current / "definition.json").read_text()
    assert json.loads(shown)["settings"]["instance/config.py"].startswith("secret, ")
    for text in (shown, app.at.ledger.read_text(), *app.system.commands):
        assert CANARY not in text
        assert json.dumps(CANARY)[1:-1] not in text
        assert app.spec["settings"]["instance/config.py"] not in text


def test_what_says_little_is_left() -> None:
    text = b"a = 1\n  password = 'a value'  \n\n}\r\nDEBUG\nPATH = '/data/of/shop'\n"
    found = masked({"a.py": SettingFile(text).packed()})
    assert found == {"password = 'a value'", "PATH = '/data/of/shop'"}
    text = b"{'key': \"o'clock at nine\", 'b': 'hunter22'}"
    assert masked({"a.py": SettingFile(text).packed()}) >= {"o'clock at nine", "hunter22"}


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("from wikmd.wiki import app, cfg as settings", set()),
        ("import os, sys", set()),
        ("from shop.config import *", set()),
        ("import os; PASSWORD = 'hunter22'", {"import os; PASSWORD = 'hunter22'", "hunter22"}),
        ("import of the goods: hunter22", {"import of the goods: hunter22"}),
        ("A = os.environ['SHOP_TOKEN']", {"A = os.environ['SHOP_TOKEN']"}),
        ('A = environ.get( "SHOP_TOKEN", "hunter22")', {'A = environ.get( "SHOP_TOKEN", "hunter22")', "hunter22"}),
        ("A = os.getenv('SHOP_TOKEN') or 'hunter22'", {"A = os.getenv('SHOP_TOKEN') or 'hunter22'", "hunter22"}),
        ("A = my_environ['hunter22']", {"A = my_environ['hunter22']", "hunter22"}),
    ],
)
def test_imports_and_names_of_variables_are_shown(line: str, hidden: set[str]) -> None:
    """A wrapper of the app is such a file too: its traceback and its KeyError say what is wrong."""
    assert masked({"entry.py": SettingFile(f"{line}\n".encode()).packed()}) == hidden


def test_on_its_way_it_is_one_text_that_nothing_else_contains() -> None:
    packed = SettingFile(b"", 0o640).packed()
    assert len(packed) > 40
    assert base64.b64decode(packed)
