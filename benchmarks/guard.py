"""Time and errors with the guard, in a recipe's folder after stage 10.

    python ../../../benchmarks/guard.py joint_sft test_zh test_en test_cs --out OUT

Decodes exp/<EXP> with the guard off, flag and redecode in one process, so that the times are comparable; writes
<out>/<mode>/<set>/text.
"""

import argparse
from pathlib import Path

import torch
from common import cpu_s

from espnet_llmasr.files import read_scp
from espnet_llmasr.inference.hypothesis import write_hypotheses
from espnet_llmasr.inference.speech2text import Speech2Text, transcribe
from espnet_llmasr.metrics.error_rate import count_errors
from espnet_llmasr.text.normalize import score_tokens

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("exp")
parser.add_argument("sets", nargs="+")
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()
torch.set_num_threads(1)
model, ctc = ([f"exp/{name}/config.yaml", f"exp/{name}/latest.pth"] for name in (args.exp, "ctc_head"))
ctc = dict(zip(("ctc_train_config", "ctc_model_file"), ctc))
modes = {mode: Speech2Text(*model, guard=mode, **ctc) for mode in ("off", "flag", "redecode")}
for name in args.sets:
    references = read_scp(f"dump/{name}/text")
    for mode, speech2text in modes.items():
        data = speech2text, Path("dump") / name, 8000
        transcribe(*data, part="1/8")  # warm-up
        seconds, hypotheses = cpu_s(transcribe, *data)
        write_hypotheses(args.out / mode / name, "", hypotheses, mode)
        pairs = [(score_tokens(references[uid]), score_tokens(found.text)) for uid, found in hypotheses.items()]
        errors, tokens = sum(count_errors(*pair).errors for pair in pairs), sum(len(pair[0]) for pair in pairs)
        flags = sum(bool(hypothesis.flags) for hypothesis in hypotheses.values())
        words = sum(bool(hypothesis.text) for hypothesis in hypotheses.values())
        print(f"{args.exp} {name} {mode}: {seconds:.2f} CPU s, {errors} errors of {tokens} tokens, ", end="")
        print(f"{flags} flagged, {words} non-empty of {len(hypotheses)}", flush=True)
