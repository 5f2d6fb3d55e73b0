"""MkDocs hooks: files outside docs/ that its pages link to become part of the site."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "index.md", **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}}
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    examples = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("examples/*/*.mjs")]
    for name in [*PAGES, "LICENSE", *examples]:
        files.append(File.generated(config, PAGES.get(name, name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between files of the repository as links between pages of the site; code is left alone."""
    uri = page.file.src_uri
    source = {site: name for name, site in PAGES.items()}.get(uri, f"docs/{uri}")
    here = posixpath.dirname(uri) or "."
    parts = CODE.split(markdown)
    parts[::2] = [LINK.sub(lambda link: link[1] + moved(link[2], source, here) + link[3], part) for part in parts[::2]]
    return "".join(parts)


def moved(target: str, source: str, here: str) -> str:
    if ":" in target or target.startswith("/"):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if (ROOT / path / "report.md").is_file():
        path += "/report.md"
    site = PAGES.get(path) or path.removeprefix("docs/")
    return posixpath.relpath(site, here)
