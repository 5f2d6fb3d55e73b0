"""Our loader in a benchmark: epoch after epoch, without what was made ahead."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from vitrail.bench.data.loaders import EpochAfterEpoch, OurEpochs
from vitrail.bench.data.photo_set import noise, write_photo_set
from vitrail.training.batches import SeededOrder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photo_set(folder, 6, noise(48, 32, 0))
    return folder


def test_epochs_follow_each_other_in_orders_of_their_own() -> None:
    numbers = list(islice(EpochAfterEpoch(SeededOrder(5, seed=0)), 15))
    epochs, indices = np.divmod(np.array(numbers), 5)
    assert epochs.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert [sorted(each) for each in indices.reshape(3, 5).tolist()] == [[0, 1, 2, 3, 4]] * 3
    assert len(set(map(tuple, indices.reshape(3, 5).tolist()))) > 1


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_made_ahead_are_left_out(photos: Path, tmp_path: Path, workers: int) -> None:
    """Of 6 images, in batches of 4: the third batch has the end of the second epoch."""
    batches = OurEpochs(photos, tmp_path, size=32, batch=4, workers=workers).endless()
    seen = [next(batches)[2]]
    batches.skip_made()
    seen.append(next(batches)[2])
    batches.close()
    order = [number % 6 for number in islice(EpochAfterEpoch(SeededOrder(6, batches.loader.dataset.seed)), 24)]  # type: ignore[attr-defined]
    skipped = 2 * workers
    assert seen[0].tolist() == order[:4]
    assert seen[1].tolist() == order[4 + 4 * skipped : 8 + 4 * skipped]
