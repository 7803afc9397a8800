"""What the pages show is true: their Python runs, their commands print what is shown."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sensverify.cli.main import main
from tests.docs.pages import PAGES, ROOT, Block, blocks, commands, included, matches, name_of

_RUN = [page for page in PAGES if blocks(page, "python", "console")]
_TYPED = [page for page in PAGES if blocks(page, "sh")]


@pytest.mark.parametrize("page", _RUN, ids=name_of)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    _install([block for block in blocks(page, "python", "toml") if block.title], tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # A page is one program; classes of its own are looked up by the module's name.
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python", "console"):
        if block.title:
            continue
        if block.language == "python":
            # Line numbers of errors are those of the page.
            code = compile("\n" * (block.line - 1) + block.text, name_of(page), "exec")
            exec(code, namespace)
            continue
        for command, shown in commands(block):
            words = shlex.split(command)
            assert words[0] == "sensverify", command
            done = CliRunner().invoke(main, words[1:], prog_name="sensverify")
            printed = [line.rstrip() for line in done.output.splitlines()]
            if done.exit_code:
                printed.append(f"[exit status {done.exit_code}]")
            lines = "\n".join(printed)
            assert matches(shown, printed), f"{name_of(page)}: {command} printed\n{lines}"


def _install(files: list[Block], folder: Path) -> None:
    """Write a page's files into a folder; the entry points of its pyproject.toml are installed."""
    for block in files:
        assert block.title is not None
        path = folder / block.title
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        if path.name == "pyproject.toml":
            facts = folder / "page-1.0.dist-info"
            facts.mkdir()
            (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: page\nVersion: 1.0\n")
            groups = tomllib.loads(block.text)["project"]["entry-points"]
            lines = [
                f"[{group}]\n{name} = {value}"
                for group, points in groups.items()
                for name, value in points.items()
            ]
            (facts / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("page", _TYPED, ids=name_of)
def test_commands_have_their_options(page: Path) -> None:
    for block in blocks(page, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.split(" > ")[0].split(" && ")[0], comments=True)
            if words[:1] == ["sensverify"]:
                _check_options(words[1:], f"{name_of(page)}: {line}")


def _check_options(words: list[str], where: str) -> None:
    command: click.Command = main
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{where}: there is no command {name}"
        command = found
    known = {text for each in command.params for text in (*each.opts, *each.secondary_opts)}
    asked = [word.split("=")[0] for word in words if word.startswith("--")]
    assert set(asked) <= known | {"--help"}, where


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_included_files_are_there(page: Path) -> None:
    assert all((ROOT / path).is_file() for path in included(page))


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a 1.234", "a 1.2345", True),
        ("a 1.234", "a 1.3", False),
        ("a ...\nb", "a 3 s\nb", True),
        ("...\nb", "x\ny\nb", True),
        ("a\n...", "a\nb\nc", True),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
    ],
)
def test_output_is_compared(shown: str, printed: str, same: bool) -> None:
    assert matches(shown.splitlines(), printed.splitlines()) is same
