"""Attention mechanisms: a registry of names, one file each."""

from vitrail.attention.additive import Additive
from vitrail.attention.dilated import Dilated
from vitrail.attention.gpsa import Gpsa
from vitrail.attention.graph import Graph
from vitrail.attention.inducing import Inducing
from vitrail.attention.linear import Linear
from vitrail.attention.relu import Relu
from vitrail.attention.self_attention import SelfAttention, fitted
from vitrail.attention.softmax import Softmax
from vitrail.attention.window import Window

MECHANISMS: dict[str, type[SelfAttention]] = {
    "softmax": Softmax,
    "additive": Additive,
    "relu": Relu,
    "linear": Linear,
    "window": Window,
    "dilated": Dilated,
    "graph": Graph,
    "gpsa": Gpsa,
    "inducing": Inducing,
}

__all__ = ["MECHANISMS", "SelfAttention", "fitted"]
