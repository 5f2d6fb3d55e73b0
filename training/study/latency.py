"""The latency of an exported model for one image."""

from statistics import median
from time import perf_counter

import numpy as np
import onnxruntime as ort
import torch

from vitrail.exporting.graph import Graph, to_onnx
from vitrail.images.canvas import InputRule
from vitrail.runtime.providers import session_options
from vitrail.training.study.building import network_of
from vitrail.training.study.plan import Contender

SECONDS = 0.5
MIN_CALLS = 30


def milliseconds(contender: Contender, classes: int, rule: InputRule, threads: int) -> float:
    """The median call of onnxruntime's CPU provider with one canvas, with random weights."""
    graph = Graph(network_of(contender, classes, rule), rule, 1.0).eval()
    with torch.random.fork_rng(devices=[]):
        model = to_onnx(graph)
    session = ort.InferenceSession(model, session_options(threads), providers=["CPUExecutionProvider"])
    canvas = np.zeros((1, rule.size, rule.size, 3), np.uint8)
    times: list[float] = []
    end = perf_counter() + SECONDS
    while len(times) < MIN_CALLS or perf_counter() < end:
        begin = perf_counter()
        session.run(["probabilities"], {"image": canvas})
        times.append(perf_counter() - begin)
    return 1000 * median(times)
