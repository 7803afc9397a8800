"""What the site's builder calls: types in docstrings lose the backquotes that are for editors."""

import re
from typing import Any

_TYPE = re.compile(r"<code>([^<]*``[^<]*)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """The page without the double backquotes inside of a type, which is shown as code itself."""
    return _TYPE.sub(lambda found: f"<code>{found[1].replace('``', '')}</code>", html)
