"""What the guard costs and gains: python benchmarks/guard.py EXP SET... (in a recipe's folder, after stage 10).

Decodes exp/<EXP> off, flag and redecode in one process, so that the times compare; writes <out>/<mode>/<set>/text.
"""

import argparse
import time
from argparse import Namespace
from pathlib import Path

import torch

from espnet_llmasr.bin.llm_asr_inference import Speech2Text, transcribe, write
from espnet_llmasr.files import read_scp
from espnet_llmasr.metrics.error_rate import count_errors
from espnet_llmasr.text.normalize import score_tokens

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("exp")
parser.add_argument("sets", nargs="+")
parser.add_argument("--ctc", default="exp/ctc_head")
parser.add_argument("--dump", default="dump")
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()
torch.set_num_threads(1)
model = [f"exp/{args.exp}/config.yaml", f"exp/{args.exp}/latest.pth"]
ctc = dict(ctc_train_config=f"{args.ctc}/config.yaml", ctc_model_file=f"{args.ctc}/latest.pth")
modes = {mode: Speech2Text(*model, guard=mode, **ctc) for mode in ("off", "flag", "redecode")}
for name in args.sets:
    references = read_scp(f"{args.dump}/{name}/text")
    for mode, speech2text in modes.items():
        data = Namespace(data_dir=Path(args.dump) / name, shard="1/1", max_frames=8000)
        transcribe(Namespace(**{**vars(data), "shard": "1/8"}), speech2text)  # warm-up
        start = time.process_time()
        found = transcribe(data, speech2text)
        seconds = time.process_time() - start
        write(args.out / mode / name, "", found, mode)
        pairs = [(score_tokens(references[uid]), score_tokens(one.text)) for uid, one in found.items()]
        errors = sum(count_errors(*pair).errors for pair in pairs)
        flags = sum(bool(one.flags) for one in found.values())
        written = sum(bool(one.text) for one in found.values())
        tokens = sum(len(reference) for reference, _ in pairs)
        row = f"{args.exp} {name} {mode}: {seconds:.2f} CPU s, {errors} errors of {tokens} tokens"
        print(f"{row}, {flags} flagged, {written} non-empty of {len(found)}", flush=True)
