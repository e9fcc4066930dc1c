"""The pretraining task: phoneme (or character) CR-CTC."""

from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.asr.phoneme_ctc_model import PhonemeCTCModel
from espnet_llmasr.tasks.speech_task import SpeechTask, read_token_list
from espnet_llmasr.train.preprocessor import PhonePreprocessor


class PhonemeCTCTask(SpeechTask):
    """Data: speech (wav.scp, sound) and phones (text)."""

    model_class = PhonemeCTCModel

    @classmethod
    def add_task_arguments(cls, parser) -> None:
        super().add_task_arguments(parser)
        group = parser.add_argument_group("CTC head")
        group.add_argument("--token_list", type=str_or_none, default=None, help="one token per line, <blank> and <unk> first")
        group.add_argument("--ctc_head_conf", action=NestedDictAction, default={}, help="dropout_rate")

    @classmethod
    def build_preprocess_fn(cls, args, train: bool):
        return PhonePreprocessor(read_token_list(args.token_list))

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False):
        return ("speech",) if inference else ("speech", "phones")

    @classmethod
    def build_model(cls, args) -> PhonemeCTCModel:
        """The model; the token list itself goes into the saved configuration."""
        args.token_list = read_token_list(args.token_list)
        components = cls.build_components(args)
        head = CTCHead(components["encoder"].output_size(), len(args.token_list), **args.ctc_head_conf)
        return PhonemeCTCModel(**components, ctc_head=head, **args.model_conf)
