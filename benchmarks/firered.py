"""Our encoder, imported from a file in the form of FireRedASR's, beside FireRedASR's own and a stock ESPnet Conformer.

    FIRERED=<checkout of FireRedTeam/FireRedASR> python benchmarks/firered.py        (some minutes; prints firered.md)

Their class is read from the checkout. Weights are random, the forms of the files are those of FireRedASR-AED-L.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from common import machine, rates, spread, table

from espnet_llmasr.asr.firered import read_release
from espnet_llmasr.espnet_versions import quiet_imports

with quiet_imports():
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

LENGTHS = (600, 500)  # feature frames of the batch
SIZES = ((4, 512, 8), (2, 1280, 20))  # blocks, width, heads; FireRedASR-AED-L is (16, 1280, 20)
ROUNDS = 5
TOLERANCE = 1e-5


def theirs_and_ours(blocks, width, heads):
    """Their encoder with random weights, and ours from the files into which it was saved."""
    sys.path.insert(0, os.environ["FIRERED"])
    from fireredasr.models.module.conformer_encoder import ConformerEncoder as Theirs

    torch.manual_seed(0)
    theirs = Theirs(80, blocks, heads, width, pe_maxlen=500)
    for parameter in theirs.parameters():  # layer norms and biases away from their neutral start
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    options = argparse.Namespace(idim=80, n_layers_enc=blocks, n_head=heads, d_model=width)
    state = {f"encoder.{name}": value for name, value in theirs.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"args": options, "model_state_dict": state}, Path(folder, "model.pth.tar"))
        sums = np.ones((2, 81)).tobytes()  # Kaldi's binary matrix: a mark, rows and columns, the numbers
        Path(folder, "cmvn.ark").write_bytes(b"\0BDM \4" + (2).to_bytes(4, "little") + b"\4\x51\0\0\0" + sums)
        ours = read_release(folder).encoder
        ours.load_state_dict({name: value.clone() for name, value in ours.state_dict().items()}, assign=True)
    return theirs, ours


@torch.no_grad()
def largest_difference(theirs, ours, feats, lengths) -> float:
    """Of valid output frames in fp32; the padding of ours holds other numbers."""
    expected, expected_lengths, _ = theirs.eval()(feats, lengths)
    found, found_lengths, _ = ours.eval()(feats.masked_fill(feats == 0, 1e3), lengths)
    assert found_lengths.equal(expected_lengths)
    return max(
        float((mine[:length] - other[:length]).abs().max())
        for mine, other, length in zip(found, expected, found_lengths.tolist())
    )


def training_step(encoder, optimizer, feats, lengths) -> None:
    """Forward, backward and Adam."""
    optimizer.zero_grad()
    encoder(feats, lengths)[0].square().mean().backward()
    optimizer.step()


def stock(blocks, width, heads):
    """ESPnet's Conformer with as many weights in a block: its convolution is half as wide, its feed-forward is wider."""
    common = dict(macaron_style=True, use_cnn_module=True, cnn_module_kernel=33, rel_pos_type="latest")
    return ConformerEncoder(80, width, heads, 19 * width // 4, blocks, input_layer="conv2d", **common)


def compare(blocks, width, heads):
    """A row of the table."""
    torch.manual_seed(1)
    feats, lengths = torch.randn(len(LENGTHS), max(LENGTHS), 80), torch.tensor(LENGTHS)
    for row, length in zip(feats, LENGTHS):
        row[length:] = 0.0
    theirs, ours = theirs_and_ours(blocks, width, heads)
    difference = largest_difference(theirs, ours, feats, lengths)
    assert difference <= TOLERANCE, f"{blocks} x {width}: outputs differ by {difference:.1e}"
    encoders = {"theirs": theirs, "ours": ours, "espnet": stock(blocks, width, heads)}
    steps = {
        name: partial(training_step, encoder.train(), torch.optim.Adam(encoder.parameters(), 1e-5))
        for name, encoder in encoders.items()
    }
    jobs = {name: (1, lambda pair, step=step: step(*pair), [(feats, lengths)]) for name, step in steps.items()}
    seconds = {name: [1 / rate for rate in found] for name, found in rates(jobs, ROUNDS).items()}
    ratios = [median(seconds["ours"]) / median(seconds[name]) for name in ("theirs", "espnet")]
    millions = [sum(p.numel() for p in encoders[name].parameters()) / 1e6 for name in ("ours", "espnet")]
    cells = [spread(seconds[name], 2) for name in encoders]
    return (
        f"{blocks} x {width}",
        f"{difference:.1e}",
        *cells,
        *(f"{r:.2f}" for r in ratios),
        *(f"{m:.1f}M" for m in millions),
    )


if __name__ == "__main__":
    print(machine("torch", "espnet"))
    columns = (
        "encoder, largest difference, theirs: s, ours: s, ESPnet: s, ours / theirs, ours / ESPnet, parameters, ESPnet's"
    )
    table(columns.split(", "), (compare(*size) for size in SIZES))
