"""BERT's encoder, and the mean of its token vectors: what most sentence embeddings are.

Submodules are named as in the checkpoints that Hugging Face's BertModel reads and writes.
"""

from dataclasses import dataclass

import torch
from torch import nn

# taken from the scores of padding: exp() of it is zero, and no sum with it overflows
FORBIDDEN = 1e4
# of a BertModel, and not needed for its token vectors
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
        """One vector per text.

        Args:
            ids: (N, L) int64 tokens.
            mask: (N, L) float32, 1 for tokens, 0 for padding.

        Returns:
            (N, D) float32 mean over the tokens, of any length.
        """
        x = self.embeddings(ids)
        penalty = ((1 - mask) * FORBIDDEN)[:, None, None, :]
        for layer in self.encoder.layer:
            x = layer(x, penalty)
        count = mask.sum(1, keepdim=True).clamp(min=1)  # nothing but padding: zeros
        return (x * mask[..., None]).sum(1) / count


class Layers(nn.Module):
    """The layers, under the name that they have in checkpoints."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))


class Embeddings(nn.Module):
    """Token, place and kind, normalised."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, shape.layer_norm_eps)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(N, L) tokens of one text each to (N, L, D)."""
        places = self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(
            self.word_embeddings(ids) + (places + self.token_type_embeddings.weight[0])
        )


class Layer(nn.Module):
    """Attention, then a network of two layers at each token; each added to what it was given."""

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
        """(N, L, D) vectors and (N, 1, 1, L) what is taken from the scores of each token."""
        query, key, value = (
            self._by_head(project(x)) for project in self.attention["self"].children()
        )
        scores = query @ key.transpose(2, 3) / self.head_width**0.5
        seen = (torch.softmax(scores - penalty, dim=3) @ value).transpose(1, 2)
        joined = seen.reshape(seen.shape[0], seen.shape[1], self.heads * self.head_width)
        x = self.attention["output"](joined, x)
        inner = nn.functional.gelu(self.intermediate["dense"](x))
        return self.output(inner, x)

    def _by_head(self, x: torch.Tensor) -> torch.Tensor:
        """(N, L, D) to (N, heads, L, D / heads)."""
        # written out: onnxruntime makes a constant of such a shape, and not of what unflatten gives
        split = x.reshape(x.shape[0], x.shape[1], self.heads, self.head_width)
        return split.transpose(1, 2)


class _Added(nn.Module):
    def __init__(self, inner: int, width: int, epsilon: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, epsilon)

    def forward(self, inner: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dense(inner) + x)
