"""Write the lowest versions that pyproject.toml allows as pip constraints: `>=1.2` becomes `==1.2`.

    python .ci/floors.py train export >floors.txt

Give the extras to read; the package's own dependencies are always included.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?P<versions>[^;]*)")


def floors(requirements: list[str]) -> dict[str, str]:
    """The highest floor of each package: an extra may ask for more than another."""
    lowest: dict[str, str] = {}
    for requirement in requirements:
        matched = REQUIREMENT.match(requirement)
        assert matched, requirement
        floor = re.search(r">=\s*([0-9][^,\s]*)", matched["versions"])
        if not floor:
            raise SystemExit(f"pyproject.toml: {requirement!r} has no floor; write one as >=VERSION")
        name = re.sub(r"[-_.]+", "-", matched["name"]).lower()
        lowest[name] = max(lowest.get(name, "0"), floor[1], key=release)
    return lowest


def release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main(extras: list[str]) -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    optional = project["optional-dependencies"]
    unknown = sorted(set(extras) - optional.keys())
    if unknown:
        raise SystemExit(f"no extra called {', '.join(unknown)}; pyproject.toml has {', '.join(sorted(optional))}")
    requirements = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    print("\n".join(f"{name}=={version}" for name, version in sorted(floors(requirements).items())))


if __name__ == "__main__":
    main(sys.argv[1:])
