"""Where the samples of a WebDataset shard are: its tar headers, read once and cached in the user's cache folder."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from time import time_ns
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vitrail.atomic import write_atomically
from vitrail.data.contents import Digests, digests_of
from vitrail.data.file_digests import TICK, UNREADABLE, state_of
from vitrail.data.user_cache import user_cache
from vitrail.errors import DataError, first_few, first_line
from vitrail.images.decode import EXTENSIONS

MEMBER = re.compile(r"((?:.*/)?[^/.][^/.]*)\.([^/]+)")  # a sample's key ends at the first dot of the file's name
LABEL_KEYS = ("label", "cls", "class")  # in a sample's .json
BLOCK = 512  # bytes of a tar header; an archive ends with blocks of zeros
VERSION = 1  # of the cached form


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The samples of one shard, in order."""

    keys: NDArray[np.bytes_]  # [N], in UTF-8
    offsets: NDArray[np.int64]  # [N], of the image's bytes in the shard
    sizes: NDArray[np.int64]  # [N]
    texts: NDArray[np.bytes_]  # [K], the different labels as they are written, in UTF-8
    labels: NDArray[np.int64]  # [N], among `texts`


@dataclass
class Sample:
    """What is known of a sample while its members go by."""

    key: str
    image: tuple[int, int] | None = None  # offset and size
    label: str | None = None


def shard_index(shard: Path) -> ShardIndex:
    """The index of a shard, cached while the shard is unchanged."""
    arrays = cached(shard, "shards", lambda: vars(indexed(shard)))
    return ShardIndex(**{field.name: arrays[field.name] for field in fields(ShardIndex)})


def shard_digests(shard: Path, index: ShardIndex) -> Digests:
    """SHA-256 of every image of a shard [N, 32], cached likewise."""

    def digests() -> dict[str, NDArray[Any]]:
        with shard.open("rb") as file:
            places = zip(index.offsets.tolist(), index.sizes.tolist(), strict=True)
            return {"digests": digests_of(read_at(file, *place) for place in places)}

    return cached(shard, "shard-digests", digests)["digests"]


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def cached(shard: Path, folder: str, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Arrays that were made of this shard, or are made now; one that changed a moment ago may change again unseen."""
    begin = time_ns()
    try:
        state = state_of(os.stat(shard))
    except OSError as fault:
        raise DataError(f"{shard} cannot be read: {fault.strerror}") from fault
    caches = user_cache(folder)
    if caches is None:
        return make()
    store = caches / f"{sha256(os.fsencode(shard.resolve())).hexdigest()[:32]}.npz"
    with suppress(*UNREADABLE), np.load(store) as arrays:
        if arrays["state"].tolist() == [VERSION, *state]:
            return dict(arrays)
    made = make()
    if max(state[1:3]) + TICK < begin:
        file = io.BytesIO()
        arrays_and_state: dict[str, Any] = {"state": np.array([VERSION, *state], np.int64), **made}
        np.savez(file, **arrays_and_state)
        with suppress(OSError):  # a full or read-only disk: the shard is read again next time
            write_atomically(store, file.getvalue())
    return made


def indexed(shard: Path) -> ShardIndex:
    """The samples of a shard, from its headers and its labels."""
    samples = read_samples(shard)
    faults = [
        f"'{sample.key}' has no {'image' if sample.image is None else 'label (.cls, or .json with a label)'}"
        for sample in samples
        if sample.image is None or sample.label is None
    ]
    if faults:
        raise DataError(f"{shard} has samples that cannot be used: {first_few(faults)}")
    if not samples:
        raise DataError(f"{shard} has no images in it")
    texts, labels = np.unique([str(sample.label).encode() for sample in samples], return_inverse=True)
    places = np.array([sample.image for sample in samples], np.int64)
    keys = np.array([sample.key.encode("utf-8", "surrogateescape") for sample in samples])
    return ShardIndex(keys, places[:, 0], places[:, 1], texts, labels.astype(np.int64))


def read_samples(shard: Path) -> list[Sample]:
    """Consecutive members of one key are a sample."""
    samples: list[Sample] = []
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all in memory
                name = MEMBER.fullmatch(member.name)
                if not member.isfile() or name is None or name[1].startswith("__"):
                    continue
                if not samples or samples[-1].key != name[1]:
                    samples.append(Sample(name[1]))
                take(samples[-1], name[2].lower(), member, file)
            refuse_cut(file, archive.offset)
    except (tarfile.TarError, EOFError) as fault:
        rest = last_whole(samples, shard.stat().st_size)
        raise DataError(f"{shard} is cut short or damaged ({first_line(fault)}): {rest}") from fault
    except OSError as fault:
        raise DataError(f"{shard} cannot be read: {fault.strerror}") from fault
    return samples


def take(sample: Sample, extension: str, member: tarfile.TarInfo, file: BinaryIO) -> None:
    """Note what one member says of its sample."""
    if f".{extension}" in EXTENSIONS and sample.image is None:
        sample.image = member.offset_data, member.size
    elif extension in ("cls", "json"):
        content = read_at(file, member.offset_data, member.size)
        if len(content) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        label = content.decode("utf-8", "replace").strip() if extension == "cls" else label_in(content)
        sample.label = sample.label if label is None else label


def label_in(content: bytes) -> str | None:
    """The label in a sample's .json, which may say other things."""
    try:
        said = json.loads(content)
    except ValueError:
        return None
    found = [said[key] for key in LABEL_KEYS if key in said] if isinstance(said, dict) else []
    return str(found[0]) if found and isinstance(found[0], str | int) else None


def refuse_cut(file: BinaryIO, end: int) -> None:
    """tarfile takes an archive that ends in the middle of a header, or without its end, for whole."""
    if read_at(file, end, BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError("its end is missing")


def last_whole(samples: list[Sample], length: int) -> str:
    """The samples that a shard of this length still holds."""
    labelled = [sample for sample in samples if sample.label is not None]
    whole = [sample.key for sample in labelled if sample.image is not None and sum(sample.image) <= length]
    return f"of its samples {len(whole):,} are whole, the last '{whole[-1]}'" if whole else "no sample of it is whole"
