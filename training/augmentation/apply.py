"""The training images of a batch, augmented: whole batches at a time, or image by image."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import isqrt

import torch
from torch import Tensor, nn
from torchvision.tv_tensors import Mask

from vitrail.data.draws import Draws
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName
from vitrail.training.augmentation.batch_transform import Augmented, BatchTransform
from vitrail.vectors.sets import VectorSet


def augmented(
    images: Tensor, targets: Tensor, task: TaskName, transforms: Sequence[nn.Module], draws: Draws
) -> tuple[Tensor, Tensor]:
    """Images uint8 [B, 3, H, W] and targets [B, …] through all transforms in turn; maps move with their images."""
    maps = targets if TASKS[task].per_cell else None
    for turn, (of_batches, group) in enumerate(groupby(transforms, lambda one: isinstance(one, BatchTransform))):
        images, maps = (in_batch if of_batches else one_by_one)(images, maps, list(group), draws.fork(turn))
    return images, targets if maps is None else maps


def augmented_sets(x: VectorSet, transforms: Sequence[nn.Module], draws: Draws) -> VectorSet:
    """Sets of patches uint8 [B, T, patch · patch · 3] through all transforms in turn, those of one grid together."""
    patch = isqrt(x.width // 3)
    vectors = torch.empty_like(x.vectors)
    grids, belongs = x.grids.unique(dim=0, return_inverse=True)
    for number, (rows, columns) in enumerate(grids.tolist()):
        members = (belongs == number).nonzero()[:, 0]
        count = rows * columns
        cut = x.vectors[members, :count].unflatten(2, (patch, patch, 3)).unflatten(1, (rows, columns))
        images = cut.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # [b, 3, H, W]
        changed, _ = augmented(images, members, "classification", transforms, draws.take(members.cpu().numpy()))
        back = changed.unflatten(3, (columns, patch)).unflatten(2, (rows, patch)).permute(0, 2, 4, 3, 5, 1)
        vectors[members, :count] = back.reshape(len(members), count, -1)
        vectors[members, count:] = 0
    return x.with_vectors(vectors)


def in_batch(images: Tensor, maps: Tensor | None, transforms: Iterable[nn.Module], draws: Draws) -> Augmented:
    for turn, transform in enumerate(transforms):
        images, maps = transform(images, maps, draws.fork(turn))
    return images, maps


def one_by_one(images: Tensor, maps: Tensor | None, transforms: Iterable[nn.Module], draws: Draws) -> Augmented:
    """Transforms of torchvision v2, which draw from torch's generator: it is seeded for each image."""
    rows = zip(images, [None] * len(images) if maps is None else maps, draws.seeds().tolist(), strict=True)
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        changed = [transformed(*row, transforms) for row in rows]
    moved = None if maps is None else torch.stack([labels for _, labels in changed if labels is not None])
    return torch.stack([image for image, _ in changed]), moved


def transformed(image: Tensor, labels: Tensor | None, seed: int, transforms: Iterable[nn.Module]) -> Augmented:
    """An image [3, H, W] and its map [H, W], or maps [K, H, W]."""
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` also seeds absent devices, for 0.1 ms
    if image.is_cuda:
        torch.cuda.manual_seed(seed)
    if labels is None:
        for transform in transforms:
            image = transform(image)
        return image, None
    mask: Tensor = Mask(with_zero_unknown(labels))
    for transform in transforms:
        image, mask = transform(image, mask)
    return image, with_own_unknown(mask.as_subclass(Tensor))


def with_zero_unknown(labels: Tensor) -> Tensor:
    """Maps where 0 is what a transform fills its gaps with: classes are shifted by one, so that 255 (ignored) is 0.

    Of values there are maps of which are known besides.
    """
    if labels.dtype == torch.uint8:
        return labels + 1
    return torch.cat([labels.nan_to_num(), (~labels.isnan()).to(labels.dtype)])


def with_own_unknown(mask: Tensor) -> Tensor:
    """The maps of which `with_zero_unknown` made these."""
    if mask.dtype == torch.uint8:
        return mask - 1
    values, known = mask.chunk(2)
    return values.masked_fill(known == 0, torch.nan)
