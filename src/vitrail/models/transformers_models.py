"""Image classifiers of Hugging Face's transformers, by the name of a repository or from a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vitrail.errors import ModelError, UsageError, first_few, first_line
from vitrail.models.architecture import Architecture
from vitrail.models.own_network import Called, refuse_other_task
from vitrail.models.timm_models import Three
from vitrail.models.warm_start import start_from
from vitrail.own_class import Plain
from vitrail.tasks.task import TaskName


@dataclass(frozen=True)
class Transformers(Architecture):
    """A classifier of transformers, at its start or with the weights of its repository.

    Args:
        name: a repository of the Hugging Face Hub, or a folder, with config.json.
        pretrained: true reads the weights of `name`; or the path of a run's checkpoint, a file of the name .ckpt.
        config: the content of config.json, read from `name` where it is left out; a checkpoint holds it.
    """

    config: Plain | None = None

    def __post_init__(self) -> None:
        if self.config is None:
            object.__setattr__(self, "config", config_of(self.name))

    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        transformers = library()
        assert self.config is not None
        refuse_other_task(task, f"'{self.name}'")
        if self.timm_weights:
            refuse_other_size(self.config, image_size)
        sized = {"image_size": image_size} if "image_size" in self.config else {}
        config = transformers.AutoConfig.for_model(**{**self.config, **sized, "num_labels": classes})
        if not self.timm_weights:
            made = transformers.AutoModelForImageClassification.from_config(config)
            return start_from(Called(Logits(made), classes, image_size), self.run_it_starts_from or False)
        with reading(self.name):
            made, loaded = transformers.AutoModelForImageClassification.from_pretrained(
                self.name, config=config, ignore_mismatched_sizes=True, output_loading_info=True
            )
        network = Called(Logits(made), classes, image_size)
        refuse_unloaded(network, loaded)
        network.pretrained_cfg = statistics_of(self.name)
        return network


class Logits(nn.Module):
    """The logits alone of what a model of transformers returns."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=pixels).logits
        return logits


def library() -> Any:
    """It takes seconds to import, and is no dependency of a network of another kind."""
    try:
        import transformers
        from transformers import image_processing_base  # noqa: F401 - an attribute of the package from here on
    except ModuleNotFoundError as fault:
        raise UsageError("networks of transformers need it: pip install 'vitrail[transformers]'") from fault
    return transformers


@contextmanager
def reading(name: str | None) -> Iterator[None]:
    """What can go wrong in the Hub or in a folder, in one line."""
    try:
        yield
    except (OSError, ValueError) as fault:  # no network, no such repository, no model of images
        raise ModelError(f"'{name}' could not be read: {first_line(fault)}") from fault


def config_of(name: str | None) -> Plain:
    """The configuration as plain data, without what says nothing of the network."""
    if name is None:
        raise UsageError("vitrail.models.Transformers needs `name`: a repository of the Hub, or a folder")
    with reading(name):
        config: Plain = library().AutoConfig.from_pretrained(name).to_diff_dict()
    left_out = ("transformers_version", "architectures", "id2label", "label2id", "_name_or_path")
    return {key: value for key, value in config.items() if key not in left_out}


def refuse_other_size(config: Plain, image_size: int) -> None:
    """Positions at another size would start from nothing."""
    own = config.get("image_size", image_size)
    if own != image_size:
        raise UsageError(f"its weights are for images of {own} pixels, and the canvas has {image_size}: choose {own}")


def refuse_unloaded(network: Called, loaded: Plain) -> None:
    """Refuse weights that leave anything but the head at its start."""
    head = (network.head or "").removeprefix("model.")
    missing = {str(one[0] if isinstance(one, tuple) else one) for one in loaded["mismatched_keys"]}
    missing = {one for one in missing | set(loaded["missing_keys"]) if not one.startswith(head)}
    if missing:
        raise ModelError(f"these weights are not in the file, or of another shape: {first_few(sorted(missing))}")


def statistics_of(name: str | None) -> dict[str, Three]:
    """Mean and standard deviation of pixels that the weights expect."""
    with reading(name):
        options, _ = library().image_processing_base.ImageProcessingMixin.get_image_processor_dict(name)
    half = (0.5, 0.5, 0.5)
    return {"mean": tuple(options.get("image_mean") or half), "std": tuple(options.get("image_std") or half)}
