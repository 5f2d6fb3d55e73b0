"""The verbs of the command, one file each; heavy imports stay inside functions."""

from importlib.util import find_spec


def require_packages(*names: str) -> None:
    """Packages that only child processes import; an absent one is reported like one that is imported here."""
    for name in names:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
