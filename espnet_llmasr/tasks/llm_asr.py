"""The fine-tuning task: alignment, IA-SFT and joint SFT differ only in their configuration files."""

from pathlib import Path

import torch
from espnet2.train.class_choices import ClassChoices
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.asr.lora import add_lora
from espnet_llmasr.tasks.checks import build
from espnet_llmasr.tasks.speech_task import SpeechTask
from espnet_llmasr.text.prompt import PROMPT_FILE, Prompt
from espnet_llmasr.train.preprocessor import PromptPreprocessor

adaptor_choices = ClassChoices("adaptor", dict(concat=ConcatAdaptor), torch.nn.Module, default="concat")


def build_adaptor(args, input_size: int, output_size: int) -> torch.nn.Module:
    """The adaptor of a configuration, from D wide frames to E wide speech tokens; older ones do not name it."""
    adaptor = adaptor_choices.get_class(getattr(args, "adaptor", adaptor_choices.default))
    return build(adaptor, "adaptor_conf", args.adaptor_conf, input_size=input_size, output_size=output_size)


def check_lora(args) -> None:
    """Raises ValueError for LoRA that would not be trained, or be averaged."""
    if args.lora and "llm" in args.freeze_param:
        raise ValueError("--lora would not be trained: leave llm out of --freeze_param, LoRA freezes its weights")
    if args.lora and args.keep_nbest_models != 1:
        raise ValueError(
            f"--keep_nbest_models is {args.keep_nbest_models}, expected 1 with --lora: the products of averaged matrices "
            "are no average"
        )


class LLMASRTask(SpeechTask):
    """Data: speech (wav.scp, sound) and text (text).

    The LLM is built from its configuration file. Its weights come from --init_param (exp/llm/llm.pth::llm, written by
    the LLM-preparation stage) or from a checkpoint, so loading a model never needs a hub.
    """

    model_class = LLMASRModel

    @classmethod
    def add_task_arguments(cls, parser) -> None:
        super().add_task_arguments(parser)
        where = (
            "Instruction and system message are options of the LLM's preparation (stage 4), which makes prompt.json."
        )
        group = parser.add_argument_group("LLM and adaptor", where)
        group.add_argument("--llm_config", type=str_or_none, default=None, help="config.json of the LLM")
        group.add_argument(
            "--llm_tokenizer", type=str_or_none, default=None, help="tokenizer.json, with prompt.json beside"
        )
        help_text = (
            "trains LoRA instead of the LLM's own weights: rank, alpha, target_modules (default: all but the head)"
        )
        group.add_argument("--lora", action=NestedDictAction, default={}, help=help_text)
        adaptor_choices.add_arguments(group)

    @classmethod
    def build_prompt(cls, args) -> Prompt:
        """The prompt of the LLM-preparation stage: as the training has saved it, else from the LLM's folder.

        Raises:
            ValueError: the files are missing, or do not belong together.
        """
        tokenizer = load_tokenizer(args.llm_tokenizer)
        if getattr(args, "prompt", None):
            try:
                return Prompt.restore(tokenizer, args.prompt)
            except ValueError as error:
                raise ValueError(f"'prompt' in the config.yaml of the training is damaged ({error})") from error
        return Prompt.read(tokenizer, Path(args.llm_tokenizer).with_name(PROMPT_FILE))

    @classmethod
    def main_worker(cls, args) -> None:
        """Trains; config.yaml keeps the prompt, so that a resume and a decoding can have no other one."""
        check_lora(args)
        args.prompt = cls.build_prompt(args).saved
        super().main_worker(args)

    @classmethod
    def build_preprocess_fn(cls, args, train: bool):
        return PromptPreprocessor(cls.build_prompt(args))

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False):
        return ("speech",) if inference else ("speech", "text")

    @classmethod
    def build_model(cls, args) -> LLMASRModel:
        components = cls.build_components(args)
        llm = build_llm(args.llm_config)
        if getattr(args, "lora", None):  # older configurations do not have it
            build(add_lora, "lora", args.lora, llm=llm)
        adaptor = build_adaptor(args, components["encoder"].output_size(), llm.get_input_embeddings().embedding_dim)
        return build(LLMASRModel, "model_conf", args.model_conf, components=components, adaptor=adaptor, llm=llm)
