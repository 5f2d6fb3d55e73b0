"""What lies below a folder and is not part of the set: other formats, dead links, folders that are not entered."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os.path import dirname, islink, join, normpath, relpath, splitext
from pathlib import Path

from vitrail.data.check.findings import EXAMPLES, Example, Finding
from vitrail.data.check.other_formats import BY_ENDING, OTHER_FORMATS
from vitrail.images.decode import EXTENSIONS


@dataclass
class LeftOut:
    """Names below the folder, in order."""

    formats: dict[str, list[str]] = field(default_factory=dict)  # by the name of the format
    beside: list[str] = field(default_factory=list)  # images that the set does not name
    dead_links: list[str] = field(default_factory=list)  # to nothing, or to themselves
    linked_folders: list[str] = field(default_factory=list)  # to folders that they are in, or without images
    closed_folders: list[str] = field(default_factory=list)  # that may not be read


def left_out(root: Path, files: Iterable[Path]) -> LeftOut:
    """Walk the folder; `files` are those of the set."""
    used = {normpath(file) for file in files}
    entered = folders_of(used)
    found = LeftOut()

    def closed(fault: OSError) -> None:
        found.closed_folders.append(relpath(fault.filename, root))

    for folder, folders, names in os.walk(root, onerror=closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [path for name in folders if islink(path := normpath(join(folder, name)))]
        found.linked_folders += [relpath(path, root) for path in links if path not in entered]
        for name in sorted(names):
            path = normpath(join(folder, name))
            if path not in used:
                sort_in(found, path, relpath(path, root))
    return found


def folders_of(files: Iterable[str]) -> set[str]:
    """Every folder above one of these files."""
    folders: set[str] = set()
    for folder in {dirname(file) for file in files}:
        while folder not in folders:
            folders.add(folder)
            folder = dirname(folder)
    return folders


def sort_in(found: LeftOut, path: str, name: str) -> None:
    ending = splitext(path)[1].lower()
    if not os.path.exists(path):
        found.dead_links.append(name)
    elif ending in BY_ENDING:
        found.formats.setdefault(BY_ENDING[ending].name, []).append(name)
    elif ending in EXTENSIONS:
        found.beside.append(name)


def findings_of(found: LeftOut, names_all: bool) -> Iterator[Finding]:
    """`names_all`: whether the set would name every image below its folder."""
    for other in OTHER_FORMATS:
        text = f"{other.name} files, which are not read"
        yield from finding("other format", found.formats.get(other.name, []), text, f"convert them: {other.advice}")
    for names, text, advice in (
        (found.dead_links, "links that lead nowhere, or to themselves", "mend or remove them"),
        (found.linked_folders, "links to folders, which add no image", "remove them"),
        (found.closed_folders, "folders that cannot be read", "give yourself the right to (`chmod u+rx`)"),
        (
            found.beside if names_all else [],
            "images beside the set, which are not used",
            "put them into the folder of a class or into the table, or elsewhere",
        ),
    ):
        yield from finding("left out", names, text, advice)


def finding(kind: str, names: Sequence[str], text: str, advice: str) -> Iterator[Finding]:
    if names:
        examples = tuple(Example((name,)) for name in names[:EXAMPLES])
        yield Finding(kind, "warning", f"{text}: {len(names):,}", advice, len(names), examples)
