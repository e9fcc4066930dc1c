"""Compiled blocks of the encoder (compile_encoder) against plain ones: seconds to compile, and time of a training step.

    python benchmarks/compiled.py [WIDTH] [BLOCKS] [ROUNDS]

Forward and backward pass with dropout on the CPU, one thread, by torch's inductor, which needs g++. Both encoders take
turns at batches of several lengths; the first round compiles and is told apart.
"""

import copy
import sys
import time

import torch
from common import cpu_s, machine, spread, table

from espnet_llmasr.asr.blocks import check_compiler, compile_blocks
from espnet_llmasr.asr.conformer import FireRedConformerEncoder

LENGTHS = ([600, 580, 560], [450, 440, 430, 420], [900, 880], [333] * 5)  # feature frames of each batch's utterances


def step(encoder, feats, lengths):
    """Loss and all gradients in one row, with random numbers of their own seed."""
    torch.manual_seed(0)
    encoder.zero_grad()
    frames = encoder(feats, lengths)[0]  # of a layer norm: only weighted squares have a gradient
    loss = (frames * torch.linspace(0, 1, frames.size(-1))).square().mean()
    loss.backward()
    return loss.item(), torch.cat([parameter.grad.flatten() for parameter in encoder.parameters()])


def main(width: str = "256", blocks: str = "6", rounds: str = "8") -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = time.perf_counter()
    check_compiler("cpu")
    print(f"{machine('torch')}; a line compiles in {time.perf_counter() - start:.0f} s", flush=True)
    plain = FireRedConformerEncoder(80, int(width), int(blocks), max(1, int(width) // 64)).train()
    compiled = copy.deepcopy(plain)
    compile_blocks(compiled)
    rows = []
    for lengths in LENGTHS:
        feats, lengths = torch.randn(len(lengths), max(lengths), 80), torch.tensor(lengths)
        start, seconds = time.perf_counter(), {"plain": [], "compiled": []}
        first_s, (loss, gradient) = cpu_s(step, compiled, feats, lengths)
        wall_s = time.perf_counter() - start
        expected = step(plain, feats, lengths)
        off = abs(loss - expected[0]) / expected[0], float((gradient - expected[1]).norm() / expected[1].norm())
        for _ in range(int(rounds)):
            for name, encoder in (("plain", plain), ("compiled", compiled)):
                seconds[name].append(cpu_s(step, encoder, feats, lengths)[0])
        ratios = [one / two for one, two in zip(*seconds.values())]
        rows.append(
            (
                "x".join(map(str, feats.shape[:2])),
                f"{wall_s:.0f} ({first_s:.0f} of this process)",
                *(spread([1000 * second for second in values]) for values in seconds.values()),
                spread(ratios, 2),
                "{:.0e}, {:.0e}".format(*off),
            )
        )
    columns = "batch", "first step, s", "plain, CPU ms", "compiled, CPU ms", "ratio", "loss, gradient differ by (share)"
    table(columns, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
