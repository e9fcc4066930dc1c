"""The fine-tuning task: alignment, IA-SFT and joint SFT differ only in their configuration files."""

from pathlib import Path
from typing import Dict, Mapping

import torch
from espnet2.train.class_choices import ClassChoices
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none, str_or_none

from espnet_llmasr.asr.adaptor import ConcatAdaptor
from espnet_llmasr.asr.llm import build_llm, load_tokenizer
from espnet_llmasr.asr.llm_asr_model import LLMASRModel
from espnet_llmasr.asr.lora import add_lora
from espnet_llmasr.tasks.checks import build
from espnet_llmasr.tasks.speech_task import SpeechTask
from espnet_llmasr.text.prompt import PROMPT_FILE, Prompt
from espnet_llmasr.train.batches import BucketBatches
from espnet_llmasr.train.hints import TrainingHints
from espnet_llmasr.train.preprocessor import PromptPreprocessor, Utterance

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
        help_text = "context SFT: hints in the prompts; file (one entry a line), distractors (docs/hotwords.md)"
        group.add_argument("--hints", action=NestedDictAction, default={}, help=help_text)
        adaptor_choices.add_arguments(group)
        help_text = "most tokens of prompts, speech and transcripts per training batch and rank; default: any number"
        group.add_argument("--max_llm_tokens", type=int_or_none, default=None, help=help_text)

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
        conf = getattr(args, "hints", None)  # older configurations do not have it
        hints = build(TrainingHints, "hints", conf, seed=args.seed) if conf else None
        return PromptPreprocessor(cls.build_prompt(args), hints)

    @classmethod
    def label_lengths(cls, args, texts: Mapping[str, str]) -> Dict[str, Dict[str, int]]:
        """U and P of the utterances with these transcripts.

        The tokenizer counts U at every start: a table of stage 4 would not know split lists and could be out of date;
        the number of UTF-8 bytes as a bound is four times too high, so that a batch would be half empty.
        """
        preprocess = cls.build_preprocess_fn(args, train=True)
        lengths = dict(zip(texts, preprocess.prompt.target_lengths([*texts.values()])))
        prompts = {uid: len(preprocess.prompt_of(uid, text)) for uid, text in texts.items()}
        return {"text_lengths": lengths, "prompt_lengths": prompts}

    @classmethod
    def llm_tokens(cls, args, frames: Mapping[str, int], lengths: Mapping[str, Mapping[str, int]]) -> Dict[str, int]:
        """The tokens S = P - 1 + L' + U that the LLM reads for each utterance of `frames`; `lengths` are its labels'."""
        texts, prompts = lengths["text_lengths"], lengths["prompt_lengths"]
        encoder_frames = cls.encoder_windows(args).count
        with torch.device("meta"):
            speech_tokens = build_adaptor(args, 1, 1).output_lengths
        return {uid: prompts[uid] - 1 + speech_tokens(encoder_frames(n)) + texts[uid] for uid, n in frames.items()}

    @classmethod
    def build_batches(cls, args, frames, lengths, **ranks: int) -> BucketBatches:
        """As for every task, with at most --max_llm_tokens."""
        tokens = None if args.max_llm_tokens is None else cls.llm_tokens(args, frames, lengths)
        return BucketBatches(frames, args.max_frames, tokens, args.max_llm_tokens or 0, **ranks)

    @classmethod
    def emptied(cls, utterance: Utterance) -> Utterance:
        """The end token alone."""
        return {**utterance, "text": utterance["text"][-1:]}

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
