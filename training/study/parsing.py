"""From YAML and the command line to a plan: every contender has the options of `model` in a recipe of `fit`."""

import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser
from torch import nn

from vitrail.errors import UsageError
from vitrail.parsers import config_parser
from vitrail.training.build.plan import weights_folder
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.recipes import FLAGS, find_recipe, flatten, pairs, values_of
from vitrail.training.study.plan import (
    All,
    Contender,
    Device,
    Geometric,
    Measure,
    Mode,
    Plain,
    Plan,
    Precision,
    crossed,
    sizes_from,
)
from vitrail.training.study.prices import CURRENCY, Prices
from vitrail.training.study.statistics.difference import CONFIDENCE
from vitrail.training.study.sweep import FLAG, Sweep, check, combinations, from_flags, merged, overrides

DERIVED = {"classes", "image_size", "resize", "patch"}  # from the images
OF_DATA = {"images", "draw", "duplicates", "workers", "patch", "patches"}  # a study has its own, or none
OF_FIT = {"lora", "distillation"}  # contenders learn all their weights, and from labels
PREFIX = "--contenders."
ADDRESS = re.compile(r"\S+:\d{1,5}")
LENGTH = ("mode", "steps", "validate_every", "most_steps", "tolerance", "epochs", "patience")
SCALARS = ("expected", *LENGTH, "gradient_clip", "threads", "device", "precision")
UNITS = {"s": 1, "min": 60, "h": 3600}
DURATION = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join(UNITS)})")
Variants = dict[str, dict[str, Plain]]  # contender, name of the variant, its options
LISTS = ("seeds", "rate_factors", "rate_seeds")
Executor = Literal["here", "pool", "ray"]


@dataclass(frozen=True)
class StudyOptions:
    """A plan, and the options that do not change its results: where it runs and where they are stored."""

    plan: Plan
    folder: Path
    executor: Executor
    workers: int | None
    address: str
    gpu_share: float
    dry_run: bool
    weights: Path | None
    until_sure: float | None
    budget: float | None  # seconds
    prices: Prices


def study_parser(names: Sequence[str]) -> ArgumentParser:
    """All options, for contenders with these names."""
    parser = config_parser("study", "Which model does this much data deserve?")
    parser.add_argument("--name", type=str, default="study", help="of the study, and of its folder")
    parser.add_argument("--folder", type=str | None, help="of the results (default: runs/study-NAME)")
    parser.add_argument("--expected", type=str, default="", help="your expectation, shown beside the result")
    parser.add_class_arguments(ImageDataModule, "data", skip=OF_DATA)
    for name in names:
        parser.add_class_arguments(ImageModule, f"contenders.{name}", skip=DERIVED | OF_FIT)
        parser.add_argument(
            f"{PREFIX}{name}.match", type=Measure | None, help="choose its width to cost as much as another contender"
        )
        parser.add_argument(f"{PREFIX}{name}.match_to", type=str | None, help="the contender to match (default: first)")
    parser.add_argument(
        "--sweep", type=dict[str, dict[str, list[Any]]], default={}, help="values of options of contenders, combined"
    )
    parser.add_argument(
        "--sizes", type=list[int] | Geometric | All | None, help="labelled images, validation included; all: one size"
    )
    parser.add_argument("--seeds", type=list[int], default=[0, 1, 2], help="of the reported runs")
    parser.add_argument(
        "--mode",
        type=Mode,
        default="trained-out",
        help="how long runs are: until longer ones do not help, or all alike",
    )
    parser.add_argument("--steps", type=int, default=300, help="of every run; trained-out: of the shortest")
    parser.add_argument(
        "--validate_every", type=int, default=30, help="steps between validations; grows with the steps"
    )
    parser.add_argument("--most_steps", type=int, default=9600, help="trained-out: of the longest runs")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        help="trained-out: gain of doubling, as a share of the error, to stop at",
    )
    parser.add_argument("--epochs", type=int, default=100, help="equal-epochs: at most")
    parser.add_argument("--patience", type=int, default=10, help="equal-epochs: epochs without improvement to stop")
    parser.add_argument("--gradient_clip", type=float | None, default=1.0, help="maximum gradient norm")
    parser.add_argument(
        "--rate_factors", type=list[float], default=[1 / 3, 1.0, 3.0], help="multiples of the learning rate to try"
    )
    parser.add_argument("--rate_seeds", type=list[int], default=[1000, 1001], help="of the runs that try them")
    parser.add_argument(
        "--augmentations", type=dict[str, list[nn.Module]], default={}, help="named transforms, crossed with contenders"
    )
    parser.add_argument("--threads", type=int, default=1, help="of every run, with any executor")
    parser.add_argument("--device", type=Device, default="auto", help="of every run")
    parser.add_argument(
        "--precision", type=Precision, default="32-true", help="of training; auto: the fastest here, measured once"
    )
    parser.add_argument("--executor", type=Executor, default="pool", help="this process, a pool of processes, or Ray")
    parser.add_argument("--workers", type=int | None, help="concurrent runs (default: the number of cores or GPUs)")
    parser.add_argument("--address", type=str, default="127.0.0.1:6379", help="of the head of a Ray cluster")
    parser.add_argument("--gpu_share", type=float, default=1.0, help="Ray: how much of a GPU a run takes")
    parser.add_argument("--budget", type=str | None, help="time for all runs, such as 40min, 90s or 2h; trained-out")
    parser.add_argument("--weights", type=str | None, help="a folder of pretrained weights (default: VITRAIL_WEIGHTS)")
    parser.add_argument("--dry-run", action="store_true", help="print the runs, their time and their cost")
    parser.add_argument(
        "--until-sure",
        type=float | None,
        nargs="?",
        const=CONFIDENCE,
        metavar="P",
        help=f"stop after a seed once the best contender is known with this probability (no number: {CONFIDENCE})",
    )
    parser.add_argument("--label-cost", type=float | None, help="of one label, for the report")
    parser.add_argument("--hour-cost", type=float | None, help="of an hour of one worker's computing, for the report")
    parser.add_argument("--currency", type=str | None, help=f"of both (default: {CURRENCY})")
    return parser


def parse_study(argv: Sequence[str]) -> StudyOptions:
    """The plan and its options; a mistake raises an error of one line."""
    given = with_study_recipes(argv)
    argv = flatten((flag, value) for flag, value in given if not flag.startswith(FLAG))
    parser = study_parser(contender_names(argv))
    if "--help=all" in argv:
        parser.print_help()
        parser.exit()
    options = parsed(parser, argv)
    plan = plan_of(options, variants(parser, argv, options, merged(options["sweep"], from_flags(given))))
    if not ADDRESS.fullmatch(options["address"]):
        raise UsageError(f"a Ray cluster's address is HOST:PORT, not '{options['address']}'")
    if options["until_sure"] is not None and not 0.5 < options["until_sure"] < 1:
        raise UsageError(f"--until-sure is a probability between 0.5 and 1, such as 0.95, not {options['until_sure']}")
    if options["workers"] is not None and options["workers"] < 1:
        raise UsageError(f"--workers must be at least 1, not {options['workers']}")
    return StudyOptions(
        plan=plan,
        folder=Path(options["folder"] or f"runs/study-{plan.name}"),
        executor=options["executor"],
        workers=options["workers"],
        address=options["address"],
        gpu_share=options["gpu_share"],
        dry_run=options["dry_run"],
        weights=weights_folder(options["weights"] and Path(options["weights"])),
        until_sure=options["until_sure"],
        budget=budget_of(options["budget"], plan),
        prices=Prices(options["label_cost"], options["hour_cost"], options["currency"]),
    )


def parsed(parser: ArgumentParser, argv: Sequence[str]) -> Plain:
    try:
        options: Plain = loads(dumps(parser.parse_args(list(argv)).as_dict(), default=str))
    except ArgumentError as fault:
        raise UsageError.of_parser(fault, parser.prog) from fault
    return options


def variants(parser: ArgumentParser, argv: Sequence[str], options: Plain, sweep: Sweep) -> Variants:
    """Every contender with its variants, each parsed as if its values were given; one without a sweep is its own."""
    contenders: Plain = options.get("contenders") or {}
    check(sweep, contenders, options["rate_factors"])
    given = {name: combinations(name, options) for name, options in sweep.items()}
    return {
        name: varied(parser, argv, name, given[name]) if name in given else {name: one}
        for name, one in contenders.items()
    }


def varied(
    parser: ArgumentParser, argv: Sequence[str], name: str, combined: Sequence[tuple[str, Plain]]
) -> dict[str, Plain]:
    """The variants of one contender; no two may be the same."""
    own: dict[str, Plain] = {
        variant: parsed(parser, [*argv, *overrides(name, values)])["contenders"][name] for variant, values in combined
    }
    if len({dumps(one) for one in own.values()}) < len(combined):
        raise UsageError(f"sweep.{name} has a value twice: {', '.join(variant for variant, _ in combined)}")
    return own


def budget_of(text: str | None, plan: Plan) -> float | None:
    """In seconds."""
    if text is None:
        return None
    if plan.mode != "trained-out":
        raise UsageError(
            f"--budget bounds how far runs are doubled, and --mode {plan.mode} doubles none: omit one of them"
        )
    duration = DURATION.fullmatch(text)
    if duration is None or float(duration[1]) == 0:
        raise UsageError(f"--budget is a time such as 40min, 90s or 2h, not '{text}'")
    return float(duration[1]) * UNITS[duration[2]]


def plan_of(options: Plain, variants: Variants) -> Plan:
    if options["sizes"] is None:
        raise UsageError("`sizes` are missing: give them, such as {smallest: 60, count: 5} or [60, 120, 240]")
    data = dict(options["data"])
    augment = tuple(data.pop("augment") or ())
    firsts = {name: next(iter(own)) for name, own in variants.items()}
    contenders = [contender(name, one, augment, firsts) for own in variants.values() for name, one in own.items()]
    scalars: Plain = {key: options[key] for key in SCALARS}
    lists: Plain = {key: tuple(options[key]) for key in LISTS}
    return Plan(
        name=options["name"],
        data=data,
        contenders=crossed(contenders, options["augmentations"]),
        sizes=sizes_from(options["sizes"]),
        **scalars,
        **lists,
    )


def contender(name: str, given: Plain, augment: tuple[Plain, ...], firsts: dict[str, str]) -> Contender:
    """A match to a contender that is varied is to the first of its variants."""
    model: Plain = {key: value for key, value in given.items() if key not in ("match", "match_to")}
    if model["net"] is None:
        raise UsageError(f"the contender '{name}' has no network: give it a `net`")
    if isinstance(model["net"], str):  # a function that makes one
        model["net"] = {"class_path": model["net"], "init_args": {}}
    if not isinstance(model["optimizer"], dict) or not model["optimizer"]["init_args"].get("lr"):
        raise UsageError(f"the optimizer of '{name}' has no learning rate `lr`: give it one")
    match: Measure | None = given["match"]
    match_to = given["match_to"] or next(iter(firsts))
    return Contender(name, model, augment, match, match and firsts.get(match_to, match_to))


def with_study_recipes(argv: Sequence[str]) -> list[tuple[str, str]]:
    return [(flag, find_recipe(value, "study") if flag in FLAGS else value) for flag, value in pairs(argv)]


def contender_names(argv: Sequence[str]) -> list[str]:
    """Names from files and flags, needed to build the parser."""
    names: dict[str, None] = {}
    for file in values_of(argv, *FLAGS):
        names |= dict.fromkeys(names_in_file(Path(file)))
    for flag, _ in pairs(argv):
        if flag.startswith(PREFIX):
            names[flag.removeprefix(PREFIX).partition(".")[0]] = None
    return list(names)


def names_in_file(path: Path) -> list[str]:
    """The contenders of one file; YAML would silently merge two with the same name."""
    try:
        root = yaml.compose(path.read_text(), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path} is not a YAML file: {' '.join(str(fault).split())}") from fault
    names = [key.value for key, _ in entries(child(root, "contenders"))]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path} has two contenders named '{name}': rename one of them")
    return names


def child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in entries(node) if key.value == name), None)


def entries(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []
