"""The pretraining task: phoneme (or character) CR-CTC."""

from itertools import zip_longest
from pathlib import Path
from typing import Dict

from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel
from espnet_llmasr.encoder_swap.probe import EncoderProbe, build_probe
from espnet_llmasr.files import PathLike
from espnet_llmasr.tasks.checks import build, check_time_warp
from espnet_llmasr.tasks.speech_task import SpeechTask, read_token_list
from espnet_llmasr.text.phonemes import min_frames
from espnet_llmasr.text.pronunciations import beside
from espnet_llmasr.train.checkpoints import CURRENT, begun
from espnet_llmasr.train.preprocessor import PhonePreprocessor, Utterance
from espnet_llmasr.train.speech_batches import SpeechSet


class PhonemeCTCTask(SpeechTask):
    """Data: speech (wav.scp, sound) and phones (text)."""

    model_class = PhonemeCTCModel

    @classmethod
    def add_task_arguments(cls, parser) -> None:
        super().add_task_arguments(parser)
        group = parser.add_argument_group("CTC head")
        help_text = "one token per line, <blank> and <unk> first"
        group.add_argument("--token_list", type=str_or_none, default=None, help=help_text)
        help_text = "table of the user's that gave the tokens (default: phones.tsv beside them, if it is there)"
        group.add_argument("--pronunciations", type=str_or_none, default=None, help=help_text)
        group.add_argument("--ctc_head_conf", action=NestedDictAction, default={}, help="dropout_rate")

    @classmethod
    def build_preprocess_fn(cls, args, train: bool):
        return PhonePreprocessor(read_token_list(args.token_list))

    @classmethod
    def frames_needed(cls, utterance: Utterance) -> int:
        """With fewer frames the CTC loss would be infinite."""
        return min_frames(utterance["phones"].tolist())

    @classmethod
    def emptied(cls, utterance: Utterance) -> Utterance:
        """No labels: CTC then has one path, blank in every frame."""
        return {**utterance, "phones": utterance["phones"][:0]}

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False):
        return ("speech",) if inference else ("speech", "phones")

    @classmethod
    def check_checkpoints(cls, args) -> None:
        """As for every task; a loaded CTC head must also have been trained with the tokens of --token_list.

        Raises:
            ValueError: the token list of a checkpoint whose head is loaded differs from --token_list.
        """
        super().check_checkpoints(args)
        # A head with as many, but other, tokens would load without an error and give wrong labels.
        sources = [Path(spec.split(":")[0]) for spec in args.init_param if spec.split(":")[1:2] != ["encoder"]]
        if args.resume and begun(Path(args.output_dir)):
            sources.append(Path(args.output_dir) / CURRENT)
        given = read_token_list(args.token_list)
        for source in sources:
            config = source.parent / "config.yaml"
            saved = cls.config_of(config).token_list if config.is_file() else given
            if saved != given:
                number, pair = next((i, pair) for i, pair in enumerate(zip_longest(saved, given)) if len(set(pair)) > 1)
                difference = f"token {number} is '{pair[1]}', not '{pair[0]}'"
                raise ValueError(f"{difference}: {args.token_list} is not the token list of {source}")

    @classmethod
    def build_model(cls, args) -> PhonemeCTCModel:
        """The model; the token list itself and the name of its table go into the saved configuration."""
        if isinstance(args.token_list, str) and beside(Path(args.token_list)).is_file():
            args.pronunciations = args.pronunciations or str(beside(Path(args.token_list)))
        args.token_list = read_token_list(args.token_list)
        components = cls.build_components(args)
        sizes = dict(input_size=components["encoder"].output_size(), vocab_size=len(args.token_list))
        head = build(CTCHead, "ctc_head_conf", args.ctc_head_conf, **sizes)
        model = build(PhonemeCTCModel, "model_conf", args.model_conf, components=components, ctc_head=head)
        check_time_warp(args, model.frontend, model.time_warp_factor)
        return model


def probe_of(pretrain_dir: Path, data_dir: Path, max_frames: int, device: str = "cpu") -> EncoderProbe:
    """The probe of a pretraining on dump/<set>, with batches of at most `max_frames` padded frames.

    Raises:
        ValueError: the saved configuration is damaged or cannot be built, or see `SpeechSet`.
    """
    model = PhonemeCTCTask.build_model(PhonemeCTCTask.config_of(pretrain_dir / "config.yaml"))
    return build_probe(model, data_dir, max_frames, device)


def greedy_labels(
    ctc_train_config: PathLike, ctc_model_file: PathLike, data_dir: Path, max_frames: int, device: str = "cpu"
) -> Dict[str, str]:
    """id -> greedy labels of the CTC head, with spaces between them, for dump/<set>.

    Args:
        max_frames: padded frames per batch.

    Raises:
        ValueError: files that do not fit together, or see `SpeechSet`.
    """
    model, config = PhonemeCTCTask.load(ctc_train_config, ctc_model_file, device)
    phones = {}
    for uids, speech, lengths in SpeechSet(data_dir).batches(max_frames, model.frontend.fs):
        for uid, labels in zip(uids, model.transcribe(speech.to(device), lengths)):
            phones[uid] = " ".join(config.token_list[label] for label in labels)
    return phones
