"""The user's cache folder, for what can be made again."""

import os
from pathlib import Path


def user_cache(kind: str) -> Path | None:
    """Its folder for one kind of content; None for a user without a home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "vitrail" / kind
    except RuntimeError:
        return None
