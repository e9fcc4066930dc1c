"""The pretraining task: phoneme (or character) CR-CTC."""

from itertools import zip_longest
from pathlib import Path
from typing import List

from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel
from espnet_llmasr.tasks.checks import build
from espnet_llmasr.tasks.speech_task import SpeechTask, read_token_list
from espnet_llmasr.text.phonemes import min_frames
from espnet_llmasr.train.checkpoints import CURRENT
from espnet_llmasr.train.preprocessor import PhonePreprocessor, Utterance


class PhonemeCTCTask(SpeechTask):
    """Data: speech (wav.scp, sound) and phones (text)."""

    model_class = PhonemeCTCModel

    @classmethod
    def add_task_arguments(cls, parser) -> None:
        super().add_task_arguments(parser)
        group = parser.add_argument_group("CTC head")
        group.add_argument(
            "--token_list", type=str_or_none, default=None, help="one token per line, <blank> and <unk> first"
        )
        group.add_argument("--ctc_head_conf", action=NestedDictAction, default={}, help="dropout_rate")

    @classmethod
    def build_preprocess_fn(cls, args, train: bool):
        return PhonePreprocessor(read_token_list(args.token_list))

    @classmethod
    def frames_needed(cls, utterance: Utterance) -> int:
        """With fewer the CTC loss would be infinite."""
        return min_frames(utterance["phones"].tolist())

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False):
        return ("speech",) if inference else ("speech", "phones")

    @classmethod
    def check_checkpoints(cls, args) -> None:
        """As for every task; the CTC head's tokens must moreover be those it was trained with.

        Raises:
            ValueError: the token list of a checkpoint whose head is taken over differs from --token_list.
        """
        super().check_checkpoints(args)
        sources = [Path(spec.split(":")[0]) for spec in args.init_param if spec.split(":")[1:2] != ["encoder"]]
        if args.resume and (Path(args.output_dir) / CURRENT).exists():
            sources.append(Path(args.output_dir) / CURRENT)
        for source in [source for source in sources if (source.parent / "config.yaml").is_file()]:
            saved, given = cls.config_of(source.parent / "config.yaml").token_list, read_token_list(args.token_list)
            if saved != given:
                raise ValueError(f"{differing(saved, given)}: {args.token_list} is not the token list of {source}")

    @classmethod
    def build_model(cls, args) -> PhonemeCTCModel:
        """The model; the token list itself goes into the saved configuration."""
        args.token_list = read_token_list(args.token_list)
        components = cls.build_components(args)
        sizes = dict(input_size=components["encoder"].output_size(), vocab_size=len(args.token_list))
        head = build(CTCHead, "ctc_head_conf", args.ctc_head_conf, **sizes)
        return build(PhonemeCTCModel, "model_conf", args.model_conf, **components, ctc_head=head)


def differing(saved: List[str], given: List[str]) -> str:
    """Names the first token in which two different lists differ."""
    number, pair = next((i, pair) for i, pair in enumerate(zip_longest(saved, given)) if pair[0] != pair[1])
    return f"token {number} is '{pair[1]}', not '{pair[0]}'"
