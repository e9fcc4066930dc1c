"""Run by test_drift.py in two processes: a joint training with drift checks that print their rank."""

import sys

import torch

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train.drift import DriftChecks


def main() -> None:
    torch.set_num_threads(1)
    check = DriftChecks.check

    def printing(checks, epoch):
        print(f"measured by rank {torch.distributed.get_rank()}", flush=True)
        check(checks, epoch)

    DriftChecks.check = printing
    LLMASRTask.main(cmd=[*sys.argv[1:], "--dist_backend=gloo", "--multiprocessing_distributed=false"])


if __name__ == "__main__":
    main()
