"""A process that trains: what Lightning says in it, and how much of its freed memory it keeps."""

import ctypes
import logging
import warnings
from contextlib import suppress

# Lightning's warnings that do not apply: canvases need no workers, short runs log seldom, the run directory is ours.
IRRELEVANT = (
    ".*LightningCLI's args parameter.*",
    ".*does not have many workers.*",
    ".*logging interval.*",
    ".*logs directory .* exists.*",
    ".*callbacks used to create the checkpoint.*",
    ".*treespec, LeafSpec.*",
    ".*dirpath has changed.*",
    ".*Checkpoint directory .* exists and is not empty.*",  # a run that goes on in its folder
    ".*SWA is currently only supported every epoch.*",
    ".*Grad strides do not match.*",
    ".*your dataloader is not resumable.*",  # its order is: SeededOrder.go_on
    ".*predict returned None.*",  # predictions are gathered by the module
    ".*in eval mode at the start of training.*",  # as `freeze_statistics` says
)

# glibc's mallopt. Setting one ends the adapting of both, so the first is set to where adapting would take it: larger
# blocks, such as all canvases of a data set, are the system's as soon as they are freed.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_OF_HEAP = 32 * 2**20
MOST_KEPT = 2**30


def prepare_process() -> None:
    """Once before the first training of a process; again does no harm."""
    silence_lightning()
    keep_freed_memory()


def silence_lightning() -> None:
    """Lightning logs only what the user can act on."""
    for package in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)


def keep_freed_memory() -> None:
    """Keep freed memory for the next step, where the C library is glibc.

    Left alone, it gives back the end of its heap whenever 64 MB of it are free, and in every step of a training the
    system clears tens of thousands of pages again.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_OF_HEAP)
        library.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def return_free_memory() -> None:
    """Give the system back what this process has freed but not returned, where its C library can: glibc's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
