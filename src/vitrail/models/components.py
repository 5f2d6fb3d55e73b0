"""The components of a Vision Transformer that can be exchanged: attention, positions, head, block and norm."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from vitrail.attention import MECHANISMS, SelfAttention, fitted
from vitrail.attention.component import Component, ComponentSpec, parse_component, settings_of
from vitrail.attention.window import reaches_of
from vitrail.errors import UsageError
from vitrail.models.box_head import BoxHead
from vitrail.models.conditional import conditional
from vitrail.models.conformer import conformer
from vitrail.models.decoder import Autoregressive, Parallel, SequenceHead
from vitrail.models.heads import (
    HEADS,
    Cosine,
    GridHead,
    put_head,
    put_value_head,
    reads_vectors,
    refuse_uneven,
    refuse_unfit,
)
from vitrail.models.set_head import SetHead
from vitrail.rivals import RIVALS, Rival
from vitrail.tasks import TASKS
from vitrail.tasks.task import TaskName
from vitrail.vectors.grid import Grid
from vitrail.vectors.positions import INSIDE, NAMES, Floater, Flow, sincos1d, sincos2d

DECODERS: dict[str, type[SequenceHead]] = {"autoregressive": Autoregressive, "parallel": Parallel}
WAVES: dict[str, Callable[[Grid, int], Tensor]] = {"sincos1d": sincos1d, "sincos2d": sincos2d}
MIXERS: dict[str, type[SelfAttention] | type[Rival]] = {**MECHANISMS, **RIVALS}  # what lets vectors see each other


@dataclass(frozen=True)
class Components:
    """With the defaults, timm's network is left as it is."""

    attention: Component = field(default_factory=lambda: Component("softmax"))
    positions: str = "learned"
    head: Component = field(default_factory=lambda: Component("linear"))
    block: str = "transformer"
    norm: str = "layer"

    @classmethod
    def parse(
        cls, attention: ComponentSpec, positions: str, head: ComponentSpec, block: str, norm: str
    ) -> "Components":
        return cls(
            parse_component("attention", attention, MIXERS),
            parse_component("kind of positions", positions, NAMES).name,
            parse_component("head", head, HEADS),
            block,
            norm,
        )

    def check(self) -> None:
        """Refuse invalid settings and combinations, as far as they are known without the size of the images."""
        mixer = MIXERS[self.attention.name]
        for name, value in self.settings_of_attention().items():
            least = min(1, mixer.options[name])
            if (min(value) if isinstance(value, list) else value) < least:
                raise UsageError(f"{name} of the attention {self.attention.name} must be at least {least}, not {value}")
            if name == "neighbours" and value not in (4, 8):
                raise UsageError(f"a cell of a grid touches 4 others, or 8 with those at its corners, not {value}")
        for name, value in settings_of("head", self.head, HEADS[self.head.name]).items():
            if not (0 < value < inf or (name == "margin" and value == 0)):
                raise UsageError(f"{name} of the head {self.head.name} must be above 0, not {value}")
        inside = INSIDE.get(self.positions)
        if inside is not None and self.attention.name in RIVALS:
            raise UsageError(
                f"{self.positions} positions act inside attention, and {self.attention.name} takes its place: choose "
                f"other positions ({', '.join(name for name in NAMES if name not in INSIDE)})"
            )
        if inside is not None and inside.adds_to_scores and not MECHANISMS[self.attention.name].scored:
            raise UsageError(
                f"{self.attention.name} attention scores no pairs, so {self.positions} positions have nothing to be "
                f"added to: choose other positions ({', '.join(unscored())}), or other attention"
            )
        if inside is not None and inside.adds_to_pairs and self.attention.name != "softmax":
            raise UsageError(
                f"{self.positions} positions add vectors to keys and values for each pair, which only softmax does: "
                f"choose other positions, or leave out {self.attention.name}"
            )
        if self.attention.name == "linear" and self.positions == "rope":
            raise UsageError("linear attention needs weights above zero, and rotation by rope can make them negative")

    def check_width(self, width: int, heads: int) -> None:
        """Refuse widths that the positions cannot divide as they need to, and settings for other numbers of heads."""
        inside = positions_maker(self.positions)
        if inside is not None:
            inside((1, 1), heads, width // heads)
        if self.positions in WAVES:
            WAVES[self.positions]((1, 1), width)
        for name in MIXERS[self.attention.name].by_head:
            reaches_of(self.settings_of_attention()[name], heads)

    def settings_of_attention(self) -> dict[str, Any]:
        mixer = MIXERS[self.attention.name]
        return settings_of("attention", self.attention, mixer.options, mixer.by_head)

    def arguments(self, grid: Grid, prefix: int) -> dict[str, Any]:
        """Arguments of timm's VisionTransformer, beside its sizes."""
        self.check_grid(grid)
        self.check_prefix(prefix)
        arguments: dict[str, Any] = {}
        inside = positions_maker(self.positions)
        if self.attention.name != "softmax" or inside is not None:
            mixer = MIXERS[self.attention.name]
            arguments["attn_layer"] = fitted(mixer, grid, prefix, inside, **self.settings_of_attention())
        if self.positions not in ("learned", "conditional", *WAVES):
            arguments["pos_embed"] = "none"
        if self.block == "conformer":
            arguments["block_fn"] = conformer(grid, prefix)
        if self.positions == "conditional":
            arguments["block_fn"] = conditional(arguments.get("block_fn", Block), grid, prefix)
        if self.norm == "batch":
            arguments["norm_layer"] = BatchNorm
        return arguments

    def check_grid(self, grid: Grid) -> None:
        settings = self.settings_of_attention()
        if self.attention.name == "fc" and settings["reach"] >= max(grid):
            raise UsageError(
                f"a reach of {settings['reach']} is more than all of the {grid[0]}×{grid[1]} grid: choose at most "
                f"{max(grid) - 1}"
            )
        if "reach" in settings and self.attention.name != "fc":
            reach = settings["reach"]
            span = 2 * (max(reach) if isinstance(reach, list) else reach) * settings.get("step", 1) + 1
            if span > max(grid):
                raise UsageError(
                    f"a window of {span} cells is larger than the {grid[0]}×{grid[1]} grid: choose a smaller reach, "
                    "smaller patches, or softmax attention, which sees all cells anyway"
                )

    def check_prefix(self, prefix: int) -> None:
        if self.attention.name == "fc" and prefix:
            raise UsageError("fc sees cells of the grid, and a class token is none: choose another pool, such as mean")

    def check_task(self, task: TaskName, pool: str) -> None:
        """Refuse a head that does not fit the data, and a pool that has nothing to pool."""
        refuse_unfit(self.head.name, task)
        if reads_vectors(self.head.name, task) and pool != "mean":
            reader = f"the task is {task}" if TASKS[task].per_cell else f"the head is {self.head.name}"
            raise UsageError(f"{reader}, which reads all vectors, so the pool '{pool}' has no effect: leave it out")

    def put_into(self, network: nn.Module, task: TaskName = "classification") -> nn.Module:
        """Exchange what timm has no argument for."""
        if isinstance(network, VisionTransformer):
            if self.positions in WAVES:
                put_waves(network, WAVES[self.positions])
            self.exchange_head(network, task)
        return put_value_head(network) if TASKS[task].has_units else network

    def exchange_head(self, network: VisionTransformer, task: TaskName) -> None:
        settings: Any = settings_of("head", self.head, HEADS[self.head.name])
        width, classes = network.embed_dim, network.num_classes
        first: Any = network.blocks[0]
        if self.head.name == "cosine":
            put_head(network, Cosine(width, classes, **settings))
        elif self.head.name == "set":
            put_head(network, SetHead(width, classes, first.attn.num_heads, **settings))
        elif self.head.name == "boxes":
            put_head(network, BoxHead(width, classes, first.attn.num_heads, **settings))
        elif self.head.name in DECODERS:
            put_head(network, DECODERS[self.head.name](width, classes, first.attn.num_heads, **settings))
        elif TASKS[task].per_cell:
            rows, columns = network.patch_embed.grid_size
            refuse_uneven(network.patch_embed.img_size[0], (rows, columns))
            put_head(network, GridHead(width, classes, (rows, columns), network.num_prefix_tokens))


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm of sets of vectors: each of the D features over all vectors of all images of a batch."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D], or [B, D] once pooled."""
        return super().forward(x.movedim(-1, 1)).movedim(1, -1)


def put_waves(network: VisionTransformer, waves: Callable[[Grid, int], Tensor]) -> None:
    """Replace the learned positions by a fixed table."""
    rows, columns = network.patch_embed.grid_size
    prefix = 0 if network.no_embed_class else network.num_prefix_tokens
    table = nn.functional.pad(waves((rows, columns), network.embed_dim), (0, 0, prefix, 0))
    del network.pos_embed
    network.register_buffer("pos_embed", table.unsqueeze(0), persistent=False)


def unscored() -> list[str]:
    return [name for name in NAMES if name not in INSIDE or not INSIDE[name].adds_to_scores]


def positions_maker(name: str) -> Any:
    """A factory of each layer's positions, or None where they do not act inside attention."""
    if name != "floater":
        return INSIDE.get(name)
    return SharedFlow()


class SharedFlow:
    """Makes floaters of one network, which share one `Flow` across layers."""

    def __init__(self) -> None:
        self.flow: Flow | None = None

    def __call__(self, grid: Grid, heads: int, head_dim: int) -> Floater:
        self.flow = self.flow or Flow(heads * head_dim)
        return Floater(grid, heads, head_dim, self.flow)
