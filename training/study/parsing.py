"""From YAML and command-line words to a plan: every contender has the options of `model` in a recipe of `fit`."""

import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Literal

import yaml
from jsonargparse import ArgumentParser
from torch import nn

from vitrail.errors import UsageError
from vitrail.parsers import config_parser
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.recipes import FLAGS, find_recipe, pairs, values_of
from vitrail.training.study.plan import Contender, Device, Geometric, Measure, Mode, Plain, Plan, crossed

GIVEN = {"classes", "image_size", "resize"}  # follow from the images
PREFIX = "--contenders."
ADDRESS = re.compile(r"\S+:\d{1,5}")
ALONE = ("expected", "mode", "steps", "validate_every", "epochs", "patience", "gradient_clip", "threads", "device")
LISTED = ("seeds", "rate_factors", "rate_seeds")
Executor = Literal["here", "pool", "ray"]


@dataclass(frozen=True)
class Asked:
    """A plan, and what is no part of it: where it runs, and where its results go."""

    plan: Plan
    folder: Path
    executor: Executor
    workers: int | None
    address: str
    gpu_share: float
    dry_run: bool
    until_sure: float | None


def study_parser(names: Sequence[str]) -> ArgumentParser:
    """All options, for contenders of these names."""
    parser = config_parser("study", "Which model does this much data deserve?")
    parser.add_argument("--name", type=str, default="study", help="of the study, and of its folder")
    parser.add_argument("--folder", type=str | None, help="where results go (default: runs/study-NAME)")
    parser.add_argument("--expected", type=str, default="", help="what you expect: stands beside what comes out")
    parser.add_class_arguments(ImageDataModule, "data", skip={"images", "draw"})
    for name in names:
        parser.add_class_arguments(ImageModule, f"contenders.{name}", skip=GIVEN)
        parser.add_argument(
            f"{PREFIX}{name}.match", type=Measure | None, help="choose its width so that it costs as much as another"
        )
        parser.add_argument(f"{PREFIX}{name}.match_to", type=str | None, help="that other (default: the first)")
    parser.add_argument("--sizes", type=list[int] | Geometric | None, help="labelled images, validation included")
    parser.add_argument("--seeds", type=list[int], default=[0, 1, 2], help="of the runs that are reported")
    parser.add_argument("--mode", type=Mode, default="equal-steps", help="what all runs share: steps, or epochs")
    parser.add_argument("--steps", type=int, default=300, help="equal-steps: of every run; its best validation counts")
    parser.add_argument("--validate_every", type=int, default=30, help="equal-steps: so many steps")
    parser.add_argument("--epochs", type=int, default=100, help="equal-epochs: at most")
    parser.add_argument("--patience", type=int, default=10, help="equal-epochs: so many without a gain end a run")
    parser.add_argument("--gradient_clip", type=float | None, default=1.0, help="longest gradient")
    parser.add_argument(
        "--rate_factors", type=list[float], default=[1 / 3, 1.0, 3.0], help="of learning rates that are tried"
    )
    parser.add_argument("--rate_seeds", type=list[int], default=[1000, 1001], help="that try them")
    parser.add_argument(
        "--augmentations", type=dict[str, list[nn.Module]], default={}, help="names and transforms, each with each"
    )
    parser.add_argument("--threads", type=int, default=1, help="of every run, whoever runs it")
    parser.add_argument("--device", type=Device, default="auto", help="where runs compute")
    parser.add_argument("--executor", type=Executor, default="pool", help="this process, a pool of such, or Ray")
    parser.add_argument("--workers", type=int | None, help="runs at a time (default: as many as there are cores)")
    parser.add_argument("--address", type=str, default="127.0.0.1:6379", help="of the head of a Ray cluster")
    parser.add_argument("--gpu_share", type=float, default=1.0, help="Ray: how much of a GPU a run takes")
    parser.add_argument("--dry-run", action="store_true", help="print what would run, how long and at what cost")
    parser.add_argument("--until-sure", type=float | None, help="stop when the answer is as sure as this, such as 0.95")
    return parser


def read_words(words: Sequence[str]) -> Asked:
    """The plan that is asked for; whatever is wrong with it is one line."""
    words = [f"{flag}={value}" if value else flag for flag, value in with_study_recipes(words)]
    parser = study_parser(contender_names(words))
    if "--help=all" in words:
        parser.print_help()
        parser.exit()
    try:
        options: Plain = loads(dumps(parser.parse_args(words).as_dict(), default=str))
    except ArgumentError as fault:
        raise UsageError.of_parser(fault, parser.prog) from fault
    plan = plan_of(options)
    if not ADDRESS.fullmatch(options["address"]):
        raise UsageError(f"a Ray cluster's address is HOST:PORT, not '{options['address']}'")
    if options["until_sure"] is not None and not 0.5 < options["until_sure"] < 1:
        raise UsageError(f"sure is a probability between 0.5 and 1, such as 0.95, not {options['until_sure']}")
    if options["workers"] is not None and options["workers"] < 1:
        raise UsageError(f"at least 1 run at a time, not {options['workers']}")
    return Asked(
        plan=plan,
        folder=Path(options["folder"] or f"runs/study-{plan.name}"),
        executor=options["executor"],
        workers=options["workers"],
        address=options["address"],
        gpu_share=options["gpu_share"],
        dry_run=options["dry_run"],
        until_sure=options["until_sure"],
    )


def plan_of(options: Plain) -> Plan:
    if options["sizes"] is None:
        raise UsageError("how many images? give `sizes`, such as {smallest: 60, count: 5} or [60, 120, 240]")
    data = dict(options["data"])
    augment = tuple(data.pop("augment") or ())
    asked: Plain = options.get("contenders") or {}
    first = next(iter(asked), None)
    contenders = [contender(name, told, augment, first) for name, told in asked.items()]
    sizes = options["sizes"]
    alone: Plain = {key: options[key] for key in ALONE}
    listed: Plain = {key: tuple(options[key]) for key in LISTED}
    return Plan(
        name=options["name"],
        data=data,
        contenders=crossed(contenders, options["augmentations"]),
        sizes=Geometric(**sizes) if isinstance(sizes, dict) else tuple(sizes),
        **alone,
        **listed,
    )


def contender(name: str, told: Plain, augment: tuple[Plain, ...], first: str | None) -> Contender:
    model: Plain = {key: value for key, value in told.items() if key not in ("match", "match_to")}
    if model["net"] is None:
        raise UsageError(f"the contender '{name}' has no network: give it a `net`")
    if not isinstance(model["optimizer"], dict) or not model["optimizer"]["init_args"].get("lr"):
        raise UsageError(f"the optimizer of '{name}' has no learning rate `lr`, of which others could be tried")
    match: Measure | None = told["match"]
    return Contender(name, model, augment, match, match and (told["match_to"] or first))


def with_study_recipes(words: Sequence[str]) -> list[tuple[str, str]]:
    return [(flag, find_recipe(value, "study") if flag in FLAGS else value) for flag, value in pairs(words)]


def contender_names(words: Sequence[str]) -> list[str]:
    """Who takes part, as the files and the words say: only then their options are known."""
    names: dict[str, None] = {}
    for file in values_of(words, *FLAGS):
        names |= dict.fromkeys(names_in_file(Path(file)))
    for flag, _ in pairs(words):
        if flag.startswith(PREFIX):
            names[flag.removeprefix(PREFIX).partition(".")[0]] = None
    return list(names)


def names_in_file(path: Path) -> list[str]:
    """The contenders of one file; two of one name would silently become one."""
    try:
        root = yaml.compose(path.read_text(), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path} is no YAML file: {' '.join(str(fault).split())}") from fault
    names = [key.value for key, _ in entries(child(root, "contenders"))]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path} has two contenders called '{name}': give one of them another name")
    return names


def child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in entries(node) if key.value == name), None)


def entries(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []
