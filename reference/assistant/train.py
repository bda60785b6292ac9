"""Trains the tiny model on synthetic procedures and writes it as GGUF. Needs torch and gguf, which the product never
installs:

    python -m reference.assistant.train --seconds 900 --out assistant.gguf

It learns to say facts in other wordings: from a part's prompt (the template's sentences) to the same sentences, each in a
wording drawn at random. Seeds 0 to 999 are its own; what is measured is measured on others.
"""

import argparse
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inframe.assistant.drafting import Part, parts
from inframe.assistant.facts import NOTE_KINDS
from inframe.assistant.reading import read
from inframe.assistant.template import plan
from reference.assistant.procedures import SORTS, procedure
from reference.assistant.tokens import Tokens, learn

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 128, 3, 4, 352, 1024
MERGES = 300
BATCH, RATE, WARM_UP = 8, 3e-3, 50
TRAINED_ON = range(1000)


class Block(nn.Module):  # type: ignore[misc]
    """One layer of a Llama: attention with rotary positions, then a gated network."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = nn.RMSNorm(WIDTH, eps=1e-5), nn.RMSNorm(WIDTH, eps=1e-5)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(WIDTH, INNER, bias=False) for _ in range(2))
        self.down = nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        n, t, _ = x.shape
        y = self.attn_norm(x)
        q, k, v = (f(y).view(n, t, HEADS, WIDTH // HEADS).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = functional.scaled_dot_product_attention(_turned(q, turn), _turned(k, turn), v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(n, t, WIDTH))
        y = self.ffn_norm(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on neighbouring pairs, as llama.cpp has them for this architecture."""
    cos, sin = (one[: x.shape[2]] for one in turn)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Llama(nn.Module):  # type: ignore[misc]
    """The whole of it; input and output share their table."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, WIDTH)
        nn.init.normal_(self.table.weight, std=0.02)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-5)
        half = WIDTH // HEADS // 2
        angles = torch.outer(torch.arange(CONTEXT), 10_000.0 ** (-torch.arange(half) / half))
        self.turn = (angles.cos(), angles.sin())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens)
        for block in self.blocks:
            x = block(x, self.turn)
        return self.norm(x) @ self.table.weight.T


def examples(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Prompts and answers, without end."""
    while True:
        facts = read(*procedure(rng.choice(TRAINED_ON), rng.choice(SORTS)))
        for kind in NOTE_KINDS:
            for part in parts(plan(facts, kind)):
                yield part.prompt, answer(rng, part)


def answer(rng: random.Random, part: Part) -> str:
    """The part's sentences, each in one of its wordings."""
    return "".join(rng.choice(item.wordings).line() + "\n" for item in part.items)


def batches(tokens: Tokens, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Numbers, and what follows each: -100 where nothing is to be learned (the prompt's own text, the padding)."""
    source = examples(rng)
    while True:
        rows: list[tuple[list[int], int]] = []
        while len(rows) < BATCH:
            prompt, said = next(source)
            head, tail = tokens.of(prompt), [*tokens.of(said), tokens.end]
            if len(head) + len(tail) <= CONTEXT // 2:
                rows.append(([*head, *tail], len(head)))
        longest = max(len(row) for row, _ in rows)
        x = torch.full((BATCH, longest), tokens.end)
        y = torch.full((BATCH, longest), -100)
        for i, (row, head_length) in enumerate(rows):
            x[i, : len(row)] = torch.tensor(row)
            y[i, head_length - 1 : len(row) - 1] = x[i, head_length : len(row)]
        yield x, y


def train(seconds: float, seed: int) -> tuple[Llama, Tokens]:
    """The model after so long on one thread."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = random.Random(seed)
    source = examples(rng)
    tokens = Tokens(learn((a + b for _, (a, b) in zip(range(1500), source, strict=False)), MERGES))
    model = Llama(len(tokens.names))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokens.names)} tokens", flush=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    began, used = time.monotonic(), 0.0
    for step, (x, y) in enumerate(batches(tokens, rng)):
        used = (time.monotonic() - began) / seconds
        if used >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - used)
        loss = functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=-100)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step}, {used:.0%}, loss {loss.item():.3f}", flush=True)
    return model, tokens


def write(model: Llama, tokens: Tokens, path: Path) -> None:
    """As GGUF, in half precision."""
    import gguf

    out = gguf.GGUFWriter(str(path), "llama")
    out.add_name("inframe reference assistant: demonstration only")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens.names)
    kinds = [gguf.TokenType.NORMAL] * (len(tokens.names) - 1) + [gguf.TokenType.CONTROL]
    out.add_token_types(kinds)
    out.add_token_merges([" ".join(pair) for pair in tokens.merges])
    out.add_bos_token_id(tokens.end)
    out.add_eos_token_id(tokens.end)
    out.add_add_bos_token(False)
    for name, tensor in _tensors(model):
        out.add_tensor(name, tensor)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def _tensors(model: Llama) -> Iterator[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.floating]]"]]:
    def half(weight: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.floating]]":
        return np.asarray(weight.detach().numpy(), np.float16)

    yield "token_embd.weight", half(model.table.weight)
    yield "output_norm.weight", model.norm.weight.detach().numpy()
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
    names |= {"gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    for i, block in enumerate(model.blocks):
        for norm in ("attn_norm", "ffn_norm"):
            yield f"blk.{i}.{norm}.weight", getattr(block, norm).weight.detach().numpy()
        for name, known in names.items():
            yield f"blk.{i}.{known}.weight", half(getattr(block, name).weight)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("assistant.gguf"))
    options = parser.parse_args()
    model, tokens = train(options.seconds, options.seed)
    write(model, tokens, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
