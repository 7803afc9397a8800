"""What the site's builder calls: types without editors' backquotes, and the schemas of results."""

import json
import re
from pathlib import Path
from typing import Any

from sensverify.report.schemas import result_schema, schema_names

_TYPE = re.compile(r"<code>([^<]*``[^<]*)</code>")
_MARKER = "<!-- schemas -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with a table of every result's keys in place of the marker."""
    if _MARKER not in markdown:
        return markdown
    return markdown.replace(_MARKER, "\n".join(map(_keys, schema_names())))


def _keys(name: str) -> str:
    schema = result_schema(name)
    # As HTML: the builder looks only for files that are there before it begins.
    link = f'<a href="../../schemas/{name}.json">{schema["$id"]}</a>'
    head = ["| key | what it is |", "| --- | --- |"]
    lines = [f"## {schema['title']}", "", schema["description"], "", link, "", *head]
    for key, value in schema["properties"].items():
        told = value.get("description")
        if told is None and "$ref" in value:
            told = schema["$defs"][value["$ref"].rpartition("/")[2]].get("description")
        lines.append(f"| `{key}` | {(told or '').replace('|', ' or ')} |")
    return "\n".join([*lines, ""])


def on_post_build(config: Any, **_: Any) -> None:
    """The schemas as files of the site."""
    folder = Path(config["site_dir"]) / "schemas"
    folder.mkdir(exist_ok=True)
    for name in schema_names():
        text = json.dumps(result_schema(name), indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def on_page_content(html: str, **_: Any) -> str:
    """The page without the double backquotes inside of a type, which is shown as code itself."""
    return _TYPE.sub(lambda found: f"<code>{found[1].replace('``', '')}</code>", html)
