"""Time and errors with the guard: python benchmarks/guard.py EXP SET... (in a recipe's folder, after stage 10).

Decodes exp/<EXP> with the guard off, flag and redecode in one process, so that the times are comparable; writes
<out>/<mode>/<set>/text.
"""

import argparse
import time
from pathlib import Path

import torch

from espnet_llmasr.files import read_scp
from espnet_llmasr.inference.hypothesis import write_hypotheses
from espnet_llmasr.inference.speech2text import Speech2Text, transcribe
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
        data = speech2text, Path(args.dump) / name, 8000
        transcribe(*data, part="1/8")  # warm-up
        start = time.process_time()
        hypotheses = transcribe(*data)
        seconds = time.process_time() - start
        write_hypotheses(args.out / mode / name, "", hypotheses, mode)
        texts = {uid: hypothesis.text for uid, hypothesis in hypotheses.items()}
        pairs = [(score_tokens(references[uid]), score_tokens(text)) for uid, text in texts.items()]
        errors = sum(count_errors(*pair).errors for pair in pairs)
        flags = sum(bool(hypothesis.flags) for hypothesis in hypotheses.values())
        tokens = sum(len(reference) for reference, _ in pairs)
        row = f"{args.exp} {name} {mode}: {seconds:.2f} CPU s, {errors} errors of {tokens} tokens"
        print(f"{row}, {flags} flagged, {sum(map(bool, texts.values()))} non-empty of {len(texts)}", flush=True)
