"""Runs alignment, IA-SFT or joint SFT: python -m espnet_llmasr.bin.llm_asr_train --config conf.yaml ..."""

from espnet_llmasr.cli import run, train
from espnet_llmasr.tasks.llm_asr import LLMASRTask


def main(cmd=None):
    """All options are ESPnet's and the task's: see --help."""
    train(LLMASRTask, cmd)


if __name__ == "__main__":
    run(main)
