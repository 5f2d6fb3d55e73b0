"""From the columns of a manifest to the items of a set; one error names all faults."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitrail.data.columns import EMPTY, UNKNOWN, Column, Numbers, Paths, Rows, Splits, Texts
from vitrail.data.faults import Faults
from vitrail.data.file_tree import IMAGES, Kind, missing_files
from vitrail.data.groups import ALONE
from vitrail.data.items import Items
from vitrail.data.manifest_file import Table
from vitrail.data.manifest_targets import Listed, file_paths, targets_for
from vitrail.data.source import PARTS
from vitrail.errors import DataError

PATH, SPLIT, WEIGHT, GROUP = OWN = ("path", "split", "weight", "group")


def items_of(table: Table, root: Path | None = None, kind: Kind = IMAGES) -> Items:
    """`root` is the folder of the files, of one kind, that `path` names; without one, these are names and no files."""
    refuse_columns(table)
    faults = table.faults
    targets = targets_for([name for name in table.columns if name not in OWN], root, faults)
    paths = file_paths(kind) if root is not None else Paths(str, lambda name: None if name else "there is no path")
    splits, weights, groups = Splits(), Numbers(WEIGHT, positive=True), Texts()
    own: dict[str, Column] = {PATH: paths, SPLIT: splits, WEIGHT: weights, GROUP: groups}
    columns = {name: column for name, column in own.items() if name in table.columns} | targets.columns
    numbers = []
    for chunk in table.chunks:
        numbers.append(chunk.numbers)
        for name, column in columns.items():
            column.add(chunk.cells[name], chunk.numbers, faults)
    if not numbers:
        faults.refuse()
        raise DataError(f"{faults.place} has no images in it")
    listed = Listed(
        paths.names(),
        np.concatenate(numbers),
        parts_of(splits, np.concatenate(numbers), faults) if SPLIT in columns else None,
    )
    name_twice(listed, faults)
    if root is not None:
        name_missing(listed, root, kind, faults)
    group_numbers = groups_of(groups, listed, faults) if GROUP in columns else None
    items = Items(
        listed.names,
        targets.of(listed),
        listed.parts,
        group_numbers,
        weights.values() if WEIGHT in columns else None,
    )
    faults.refuse()
    return items


def refuse_columns(table: Table) -> None:
    columns, place = table.columns, table.faults.place
    there = ", ".join(f"'{name}'" for name in columns) or "none"
    if PATH not in columns:
        raise DataError(f"{place} has no column '{PATH}', which names the images; its columns: {there}")
    if "" in columns or len(set(columns)) < len(columns):
        raise DataError(f"{place} has a column without a name, or two of one name; its columns: {there}")


def parts_of(splits: Splits, numbers: Rows, faults: Faults) -> NDArray[np.int8] | None:
    """The parts; None where every cell is empty, or some cells are wrong."""
    parts = splits.parts()
    empty = parts == EMPTY
    if empty.all() or (parts == UNKNOWN).any():
        return None
    if empty.any():
        faults.add(int(numbers[empty.argmax()]), f"the column '{SPLIT}' is empty here, and filled in other rows")
        return None
    if not (parts == PARTS.index("train")).any():
        faults.say(f"no row has the {SPLIT} 'train'")
        return None
    return parts


def name_twice(listed: Listed, faults: Faults) -> None:
    hashes = listed.names.hashes()
    if len(np.unique(hashes)) == len(hashes):
        return
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    for index in np.flatnonzero(first[inverse] != np.arange(len(hashes))).tolist():
        before = int(listed.numbers[first[inverse[index]]])
        faults.add(int(listed.numbers[index]), f"'{listed.names[index]}' is in {faults.unit} {before} already")


def name_missing(listed: Listed, root: Path, kind: Kind, faults: Faults) -> None:
    known = {number for number, _ in faults.found}
    for index in missing_files(root, listed.names).tolist():
        if int(listed.numbers[index]) not in known:
            faults.add(int(listed.numbers[index]), f"there is no {kind.name} '{listed.names[index]}'")


def groups_of(texts: Texts, listed: Listed, faults: Faults) -> Rows:
    """The groups by number; a fault for each that is in several of the given parts."""
    groups = texts.codes()
    groups[groups == texts.known.get("", ALONE)] = ALONE
    if listed.parts is None:
        return groups
    names = list(texts.known)
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    elsewhere = np.flatnonzero((listed.parts != listed.parts[first[inverse]]) & (groups != ALONE))
    for group, where in zip(*np.unique(groups[elsewhere], return_index=True), strict=True):
        row = elsewhere[where]
        before = first[inverse[row]]
        here, there = (PARTS[listed.parts[one]] for one in (row, before))
        what = f"the group '{names[group]}' is in {here} here, and in {there} in {faults.unit} {listed.numbers[before]}"
        faults.add(int(listed.numbers[row]), what)
    return groups
