"""Configurations of small networks, each size another number."""

from __future__ import annotations

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.recipes import Recipe

LABELS = ("a", "b", "c")
CONFIG = ModelConfig("classify", EncoderConfig("lstm", 11, 4, 5, 1, True), LABELS, max_length=50)
TAGS = ModelConfig("tag", CONFIG.encoder, LABELS, max_length=50)
TEXT = ModelConfig("lm", EncoderConfig("lstm", 11, 4, 5, 1, False))
RECIPE = Recipe("lstm", 1, 5, 4, True, 16, 1e-3, 0.5, 0.3, 6, 50)
