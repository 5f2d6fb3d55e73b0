"""Hugging Face optimum's exporter, as a process: timm's weights put into transformers' ViT, an ONNX file out."""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import timm
import torch
from optimum.exporters.onnx import onnx_export_from_model
from safetensors.torch import load_file
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification

PACKAGES = ("optimum", "optimum-onnx", "transformers", "torch", "onnx", "onnxruntime")
BOUND = 1e-4

# timm's names of what is not in a block, and transformers' names of the same.
OUTER = {
    "cls_token": "vit.embeddings.cls_token",
    "pos_embed": "vit.embeddings.position_embeddings",
    "patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
    "norm": "vit.layernorm",
    "head": "classifier",
}
# The same within a block; `attn.qkv` is split in three.
INNER = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def config_of(network: Any, size: int, classes: int) -> ViTConfig:
    """transformers' description of this network; what it cannot describe is refused by the check of the logits."""
    block = network.blocks[0]
    return ViTConfig(
        hidden_size=network.embed_dim,
        num_hidden_layers=len(network.blocks),
        num_attention_heads=block.attn.num_heads,
        intermediate_size=block.mlp.fc1.out_features,
        hidden_act="gelu",
        layer_norm_eps=network.norm.eps,
        image_size=size,
        patch_size=network.patch_embed.patch_size[0],
        qkv_bias=block.attn.qkv.bias is not None,
        num_labels=classes,
    )


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's weights under transformers' names."""
    found: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        layer, dot, kind = key.rpartition(".")
        if key in OUTER:
            found[OUTER[key]] = tensor
        elif layer in OUTER:
            found[f"{OUTER[layer]}.{kind}"] = tensor
        else:
            _, number, inner = layer.split(".", 2)
            block = f"vit.encoder.layer.{number}"
            if inner == "attn.qkv":
                for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                    found[f"{block}.attention.attention.{part}.{kind}"] = third
            else:
                found[f"{block}.{INNER[inner]}{dot}{kind}"] = tensor
    return found


def same_function(ours: Any, theirs: Any, size: int) -> None:
    pixels = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = ours(pixels), theirs(pixel_values=pixels).logits
    error, deviation = float((expected - found).abs().max()), float(expected.std())
    assert error <= BOUND * max(1.0, deviation), f"transformers' logits differ from timm's by {error:.2e}"


def main(job: dict[str, Any]) -> None:
    network = timm.create_model(job["name"], num_classes=job["classes"], img_size=job["size"]).eval()
    weights = load_file(job["weights"])
    network.load_state_dict(weights)
    theirs = ViTForImageClassification(config_of(network, job["size"], job["classes"])).eval()
    theirs.load_state_dict(renamed(weights))
    same_function(network, theirs, job["size"])
    with TemporaryDirectory() as folder:
        begin = perf_counter()
        onnx_export_from_model(
            theirs, folder, task="image-classification", optimize=job["optimize"], do_validation=False
        )
        seconds = perf_counter() - begin
        shutil.move(Path(folder) / "model.onnx", job["output"])
    versions = {package: version(package) for package in PACKAGES}
    Path(job["note"]).write_text(json.dumps({"seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
