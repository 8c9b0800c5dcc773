"""BERT's encoder with mean pooling: the network of most sentence embeddings.

Submodules are named as in the checkpoints that Hugging Face's BertModel reads and writes.
"""

from dataclasses import dataclass

import torch
from torch import nn

# subtracted from the scores of padding: exp(-1e4) is zero, and no sum with it overflows
PENALTY = 1e4
# patterns of a BertModel's keys that token vectors do not need
UNUSED = ("pooler.*", "embeddings.position_ids", "cls.*")


@dataclass(frozen=True, slots=True)
class BertShape:
    """Sizes of an encoder, as config.json names them."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float


class MeanOfTokens(nn.Module):
    """An encoder with mean pooling. Its state_dict is the encoder's."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.encoder = Layers(shape)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return one vector per text.

        Args:
            ids: (N, L) int64 tokens.
            mask: (N, L) float32, 1 for tokens, 0 for padding.

        Returns:
            (N, D) float32 mean over the tokens, not normalised.
        """
        x = self.embeddings(ids)
        penalty = ((1 - mask) * PENALTY)[:, None, None, :]
        for layer in self.encoder.layer:
            x = layer(x, penalty)
        count = mask.sum(1, keepdim=True).clamp(min=1)  # a text of padding alone gives zeros
        return (x * mask[..., None]).sum(1) / count


class Layers(nn.Module):
    """The layers, under the key that checkpoints have for them."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))


class Embeddings(nn.Module):
    """The sum of token, position and type embeddings, normalised."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, shape.layer_norm_eps)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map (N, L) tokens, one text a row, to (N, L, D)."""
        positions = self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(
            self.word_embeddings(ids) + (positions + self.token_type_embeddings.weight[0])
        )


class Layer(nn.Module):
    """Attention, then a network of two layers at each token; each is added to its input."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        width, inner = shape.hidden_size, shape.intermediate_size
        self.heads = shape.num_attention_heads
        self.head_width = width // shape.num_attention_heads
        projections = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict(projections),
                "output": _Added(width, width, shape.layer_norm_eps),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = _Added(inner, width, shape.layer_norm_eps)

    def forward(self, x: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        """Map (N, L, D) vectors to the same shape; (N, 1, 1, L) `penalty` hides padding."""
        query, key, value = (
            self._by_head(project(x)) for project in self.attention["self"].children()
        )
        scores = query @ key.transpose(2, 3) / self.head_width**0.5
        context = (torch.softmax(scores - penalty, dim=3) @ value).transpose(1, 2)
        joined = context.reshape(context.shape[0], context.shape[1], self.heads * self.head_width)
        x = self.attention["output"](joined, x)
        inner = nn.functional.gelu(self.intermediate["dense"](x))
        return self.output(inner, x)

    def _by_head(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, L, D) to (N, heads, L, D / heads)."""
        # not unflatten: onnxruntime folds this shape to a constant, and unflatten's not
        split = x.reshape(x.shape[0], x.shape[1], self.heads, self.head_width)
        return split.transpose(1, 2)


class _Added(nn.Module):
    def __init__(self, inner: int, width: int, epsilon: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, epsilon)

    def forward(self, inner: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dense(inner) + x)
