"""Run by test_drift.py in two processes: a joint training whose checks show the danger sign from epoch 2 on."""

import sys

import torch

from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train import danger
from espnet_llmasr.train.drift import Observer


def main() -> None:
    torch.set_num_threads(1)
    danger.shows_sign = lambda start, now: now.epoch >= 2
    check = Observer.check

    def told(observer, epoch):
        print(f"measured by rank {torch.distributed.get_rank()}", flush=True)
        return check(observer, epoch)

    Observer.check = told
    LLMASRTask.main(cmd=[*sys.argv[1:], "--dist_backend=gloo", "--multiprocessing_distributed=false"])


if __name__ == "__main__":
    main()
