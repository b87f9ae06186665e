"""The network as it is served: windows without padding, so no mask, and fused operators of ONNX Runtime.

Exported plainly, rotary positions and attention fall apart into some hundred small operators, which take half of the
time once the matrices are int8. ONNX Runtime has one operator for each (domain `com.microsoft`): a window of 256
tokens takes 0.7 of the time, with the same logits.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import ModernBertModel

from training.model import SpanDocumentModel, load_run

_DOMAIN = "com.microsoft"


class Rotary(torch.autograd.Function):
    """`RotaryEmbedding`: vectors of shape (rows, tokens, width), turned head by head by the angle of their place.

    `cosine` and `sine` have shape (places, width of a head / 2).
    """

    @staticmethod
    def symbolic(graph: Any, vectors: Any, start: Any, cosine: Any, sine: Any, heads: int) -> Any:
        out = graph.op(f"{_DOMAIN}::RotaryEmbedding", vectors, start, cosine, sine, num_heads_i=heads)
        return out.setType(vectors.type())

    @staticmethod
    def forward(
        ctx: Any, vectors: torch.Tensor, start: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, heads: int
    ) -> torch.Tensor:
        rows, tokens, width = vectors.shape
        first, second = vectors.view(rows, tokens, heads, width // heads).chunk(2, dim=-1)
        cosine, sine = (t[:tokens].view(1, tokens, 1, -1) for t in (cosine, sine))
        turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
        return turned.view(rows, tokens, width)


class Attention(torch.autograd.Function):
    """`MultiHeadAttention` over all tokens; shapes (rows, tokens, width)."""

    @staticmethod
    def symbolic(graph: Any, query: Any, key: Any, value: Any, heads: int) -> Any:
        return graph.op(f"{_DOMAIN}::MultiHeadAttention", query, key, value, num_heads_i=heads).setType(query.type())

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
        apart = (t.view(*t.shape[:2], heads, -1).transpose(1, 2) for t in (query, key, value))
        return nn.functional.scaled_dot_product_attention(*apart).transpose(1, 2).reshape(query.shape)


class ServedModel(nn.Module):
    """Ids of shape (windows, tokens), all windows of one length, to the logits of `SpanDocumentModel`."""

    def __init__(self, model: SpanDocumentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model(ids, torch.ones_like(ids))


class FusedModernBert(nn.Module):
    """As `ServedModel`, for an encoder that `can_fuse`."""

    cosine: torch.Tensor
    sine: torch.Tensor

    def __init__(self, model: SpanDocumentModel) -> None:
        super().__init__()
        self.model = model
        encoder = model.encoder
        self.heads = encoder.config.num_attention_heads
        places = torch.arange(encoder.config.max_position_embeddings).unsqueeze(0)
        cosine, sine = encoder.rotary_emb(torch.zeros(1), places, "full_attention")
        half = cosine.shape[-1] // 2
        self.register_buffer("cosine", cosine[0, :, :half].contiguous())
        self.register_buffer("sine", sine[0, :, :half].contiguous())
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoder = self.model.encoder
        hidden = encoder.embeddings(inputs_embeds=self.model.embed(ids))
        for layer in encoder.layers:
            query, key, value = in_parts(layer.attn.Wqkv, layer.attn_norm(hidden), 3)
            query, key = (Rotary.apply(t, self.start, self.cosine, self.sine, self.heads) for t in (query, key))
            hidden = hidden + layer.attn.Wo(Attention.apply(query, key, value, self.heads))
            inner, gate = in_parts(layer.mlp.Wi, layer.mlp_norm(hidden), 2)
            hidden = hidden + layer.mlp.Wo(layer.mlp.act(inner) * gate)
        return self.model.heads(encoder.final_norm(hidden), None)


def in_parts(layer: nn.Linear, hidden: torch.Tensor, count: int) -> list[torch.Tensor]:
    """The output of `layer` in equal parts: its matrix is cut once, at export, where a cut output is copied in every run."""
    biases = [None] * count if layer.bias is None else layer.bias.chunk(count)
    weights = layer.weight.chunk(count)
    return [nn.functional.linear(hidden, weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def can_fuse(model: SpanDocumentModel) -> bool:
    """ModernBERT whose every layer sees all tokens, as ours; every other encoder is exported as it is."""
    encoder = model.encoder
    return isinstance(encoder, ModernBertModel) and set(encoder.config.layer_types) == {"full_attention"}


def export_onnx(run: Path, target: Path) -> None:
    """Write the float32 graph with free count and length of windows. Raises what torch's exporter raises."""
    # Eager attention runs faster in ONNX Runtime than sdpa where it is not fused.
    model = load_run(run, attention="eager")
    served = FusedModernBert(model) if can_fuse(model) else ServedModel(model)
    axes = {0: "windows", 1: "tokens"}
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated but takes a second where its successor takes ten.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            served.eval(),
            (torch.randint(5, 100, (2, 32)),),
            str(target),
            input_names=["input_ids"],
            output_names=["tokens", "document"],
            dynamic_axes={"input_ids": axes, "tokens": axes, "document": {0: "windows"}},
            opset_version=18,
            custom_opsets={_DOMAIN: 1},
            dynamo=False,
        )
