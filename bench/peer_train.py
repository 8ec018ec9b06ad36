"""peer_train.py - PyTorch's side of bench_train: a Llama-shaped decoder, written plainly.

Usage: peer_train.py VOCAB WIDTH LAYERS HEADS FF BATCH LENGTH THREADS
Says "ready PARAMETERS VERSION"; then, for each line N on its input, runs N training steps (forward, cross-entropy at
all positions, backward, clip, AdamW) and answers with their seconds and the last loss. Fused qkv and gate/up products,
tied output matrix, foreach AdamW, no gradient buffers kept between steps: what makes PyTorch faster without another
program.
"""
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError as e:
    print("missing", e, flush=True)
    sys.exit(0)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Norm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Block(torch.nn.Module):
    def __init__(self, width, heads, ff):
        super().__init__()
        self.heads, self.ff = heads, ff
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.gate_up = torch.nn.Linear(width, 2 * ff, bias=False)
        self.down = torch.nn.Linear(ff, width, bias=False)

    def attention(self, x, cos, sin, mask):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            score = q @ k.transpose(-2, -1) * (C // self.heads) ** -0.5
            y = torch.softmax(score + mask, dim=-1) @ v
        return self.out(y.transpose(1, 2).reshape(B, T, C))

    def forward(self, x, cos, sin, mask):
        x = x + self.attention(self.norm1(x), cos, sin, mask)
        gate, up = self.gate_up(self.norm2(x)).split(self.ff, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Decoder(torch.nn.Module):
    def __init__(self, vocab, width, layers, heads, ff, length):
        super().__init__()
        self.embed = torch.nn.Embedding(vocab, width)
        torch.nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = torch.nn.ModuleList([Block(width, heads, ff) for _ in range(layers)])
        self.norm = Norm(width)
        pair = torch.arange(0, width // heads, 2).float() / (width // heads)
        angle = torch.outer(torch.arange(length).float(), 10000.0 ** -pair)
        self.cos, self.sin = angle.cos(), angle.sin()
        self.mask = torch.full((length, length), float("-inf")).triu(1)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        return F.linear(self.norm(x), self.embed.weight)


def main():
    vocab, width, layers, heads, ff, batch, length, threads = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    model = Decoder(vocab, width, layers, heads, ff, length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, foreach=True)
    ids = torch.randint(vocab, (batch, length))
    target = torch.randint(vocab, (batch * length,))
    maps = [line.split() for line in open("/proc/self/maps") if "openblas" in line]
    blas = {"/".join(line[-1].split("/")[-2:]) for line in maps}
    count = sum(p.numel() for p in model.parameters())
    print("ready", count, "PyTorch", torch.__version__, "on", " ".join(sorted(blas)) or "its own BLAS", flush=True)
    for line in iter(sys.stdin.readline, ""):
        start = time.perf_counter()
        for _ in range(int(line)):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(ids).view(-1, vocab), target)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        print(time.perf_counter() - start, loss.item(), flush=True)


main()
