"""Our transformer's weights in Hugging Face's T5, an independent implementation of the same architecture."""

from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from model.layers import Attention
from model.semantic_ids import PAD
from model.transformer import Transformer
from model.transformer_config import TransformerSizes


def t5_config(sizes: TransformerSizes, vocabulary: int, dropout: float) -> T5Config:
    """A T5 of our sizes."""
    options: dict[str, Any] = {"tie_word_embeddings": True, "decoder_start_token_id": PAD}
    return T5Config(
        vocab_size=vocabulary,
        d_model=sizes.d_model,
        d_kv=sizes.d_head,
        d_ff=sizes.d_ff,
        num_layers=sizes.encoder_layers,
        num_decoder_layers=sizes.decoder_layers,
        num_heads=sizes.heads,
        relative_attention_num_buckets=sizes.position_buckets,
        relative_attention_max_distance=sizes.max_distance,
        dropout_rate=dropout,
        feed_forward_proj="relu",
        pad_token_id=PAD,
        eos_token_id=None,
        **options,
    )


def as_t5(transformer: Transformer) -> T5ForConditionalGeneration:
    """A T5 in eval mode that should compute what ``transformer`` computes."""
    config = t5_config(transformer.config, transformer.config.vocabulary, dropout=0.0)
    t5 = T5ForConditionalGeneration(config)
    weights = _weights(transformer)
    assert set(weights) == set(t5.state_dict()), "every weight of T5 comes from ours"
    t5.load_state_dict(weights)
    t5.train(False)
    return t5


def _weights(transformer: Transformer) -> dict[str, Tensor]:
    """T5's state dict out of ours."""
    embedding = transformer.embedding.detach()
    shared = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    weights = dict.fromkeys(shared, embedding)
    for stack, position in (("encoder", transformer.encoder_position), ("decoder", transformer.decoder_position)):
        name = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        weights[name] = position.weight.detach()
        weights[f"{stack}.final_layer_norm.weight"] = transformer.get_parameter(f"{stack}_norm.weight").detach()
    for index in range(transformer.config.encoder_layers):
        layer, block = transformer.get_submodule(f"encoder.{index}"), f"encoder.block.{index}.layer"
        _attention(weights, layer.get_submodule("attention"), f"{block}.0.SelfAttention")
        _copy(weights, layer, {"attention_norm": f"{block}.0.layer_norm", "feed_forward_norm": f"{block}.1.layer_norm"})
        _feed_forward(weights, layer, f"{block}.1")
    for index in range(transformer.config.decoder_layers):
        layer, block = transformer.get_submodule(f"decoder.{index}"), f"decoder.block.{index}.layer"
        _attention(weights, layer.get_submodule("self_attention"), f"{block}.0.SelfAttention")
        _attention(weights, layer.get_submodule("cross_attention"), f"{block}.1.EncDecAttention")
        norms = {"self_norm": 0, "cross_norm": 1, "feed_forward_norm": 2}
        _copy(weights, layer, {ours: f"{block}.{number}.layer_norm" for ours, number in norms.items()})
        _feed_forward(weights, layer, f"{block}.2")
    return weights


def _attention(weights: dict[str, Tensor], attention: torch.nn.Module, name: str) -> None:
    assert isinstance(attention, Attention)
    keys, values = attention.key_value.weight.detach().chunk(2)
    weights |= {f"{name}.k.weight": keys, f"{name}.v.weight": values}
    _copy(weights, attention, {"query": f"{name}.q", "output": f"{name}.o"})


def _feed_forward(weights: dict[str, Tensor], layer: torch.nn.Module, name: str) -> None:
    inner = f"{name}.DenseReluDense"
    _copy(weights, layer, {"feed_forward.wide": f"{inner}.wi", "feed_forward.narrow": f"{inner}.wo"})


def _copy(weights: dict[str, Tensor], module: torch.nn.Module, names: dict[str, str]) -> None:
    for ours, theirs in names.items():
        weights[f"{theirs}.weight"] = module.get_parameter(f"{ours}.weight").detach()
