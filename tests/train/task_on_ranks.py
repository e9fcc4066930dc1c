"""Run in two processes: trains by the LLM task with the options of the command line."""

import sys

import torch

from espnet_llmasr.tasks.llm_asr import LLMASRTask


def main() -> None:
    torch.set_num_threads(1)
    LLMASRTask.main(cmd=[*sys.argv[1:], "--dist_backend=gloo", "--multiprocessing_distributed=false"])


if __name__ == "__main__":
    main()
