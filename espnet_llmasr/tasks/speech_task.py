"""Base of the two tasks: components by name, frame-budget batches, our trainer, a clean end of distributed runs."""

import argparse
import logging
from abc import abstractmethod
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Collection, Dict, List, Mapping, Optional, Sequence

import torch
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.train.class_choices import ClassChoices
from espnet2.train.dataset import DATA_TYPES
from espnet2.train.distributed_utils import DistributedOption
from espnet2.utils.build_dataclass import build_dataclass
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none, str2bool

from espnet_llmasr.asr import encoders, frontends
from espnet_llmasr.asr.blocks import PARTS, check_compiler, checkpoint_gradients, compile_blocks
from espnet_llmasr.asr.cr_ctc import SpecAugment
from espnet_llmasr.asr.fbank import FeatureMVN
from espnet_llmasr.asr.frontend import Frontend
from espnet_llmasr.asr.registry import Registry
from espnet_llmasr.asr.weights import load_state, read_state
from espnet_llmasr.audio import Windows
from espnet_llmasr.encoder_swap.trainer import SwapMixin
from espnet_llmasr.espnet_versions import quiet_imports
from espnet_llmasr.files import PathLike, check_file, naming_full_disk, read_rows, read_tokens, read_yaml
from espnet_llmasr.processes import only_one
from espnet_llmasr.tasks import packed
from espnet_llmasr.tasks.checks import (
    build,
    check_mix,
    check_options,
    check_same_training,
    explaining_stops,
    log_changed_batches,
    obsolete,
    of_all_ranks,
    plain_values,
    readable_file,
    share_batches,
)
from espnet_llmasr.train import checkpoints
from espnet_llmasr.train.augment import Augmentation, AugmentedDataset, NumberedBatches
from espnet_llmasr.train.batches import BucketBatches, read_num_frames
from espnet_llmasr.train.drift import DriftMixin
from espnet_llmasr.train.engine import set_factors
from espnet_llmasr.train.preprocessor import Utterance, collate
from espnet_llmasr.train.speech_batches import AudioTable
from espnet_llmasr.train.trainer import ExactTrainer, ExactTrainerOptions, device_of, is_first_rank

with quiet_imports():
    from espnet2.tasks.abs_task import AbsTask

specaug_choices = ClassChoices("specaug", dict(masks=SpecAugment), torch.nn.Module, default=None, optional=True)
normalize_choices = ClassChoices(
    "normalize", dict(global_mvn=FeatureMVN), torch.nn.Module, default="global_mvn", optional=True
)

STARTING = ".starting"  # the folder in --output_dir into which ESPnet writes config.yaml


class LazyChoices(ClassChoices):
    """The names of a registry. Only the chosen class is imported: those of ESPnet take a second."""

    def __init__(self, registry: Registry, get_class: Callable[[str], type], default: str):
        super().__init__(registry.kind, {}, default=default)
        self.choices, self.get_class = registry.names, get_class


frontend_choices = LazyChoices(frontends.REGISTRY, frontends.frontend_class, frontends.DEFAULT)
encoder_choices = LazyChoices(encoders.REGISTRY, encoders.encoder_class, encoders.DEFAULT)

DATA_TYPES[r"audio_\d+$"] = dict(
    func=AudioTable,
    kwargs=["loader_type", "keys_to_load"],
    help="Audio at the rate that the type names, from entries as in espnet_llmasr.audio; converted on reading."
    "\n\n   utterance_id_a a.wav\n   utterance_id_b shard.tar:1536\n   utterance_id_c talk.opus#t=1.5,3.2",
)


class BaseConfig(argparse.Action):
    """--base_config FILE...: options in YAML that several trainings share; --config and the command line replace them.

    The last file with a key gives its value; dictionaries are not merged. The names of the files are not saved, so a
    training can resume with the same values from other files.
    """

    def __call__(self, parser, namespace, values, option_string=None):
        known = {action.dest for action in parser._actions}
        for path in values:
            try:
                options = read_yaml(path, kind=object)
            except (OSError, ValueError) as error:
                parser.error(f"{option_string}: {error}")
            if not isinstance(options, dict):
                parser.error(f"{option_string} {path} has no keys, expected options such as encoder_conf")
            unknown = [key for key in options if key not in known]
            if unknown:
                parser.error(f"{option_string} {path} has '{unknown[0]}', which is no option of this command")
            parser.set_defaults(**options)  # ESPnet parses twice and reads --config in between, so --config wins


@dataclass
class TrainerOptions(ExactTrainerOptions):
    """The options of the exact trainer, of its blocks, of the encoder swaps and of the drift checks."""

    gradient_checkpointing: Sequence[str]
    compile_encoder: bool
    shared_batches: bool
    encoder_dir: Optional[str]
    swap: str
    final_epochs: Optional[int]
    pace: Optional[int]
    swap_schedule: Optional[str]
    drift_data: Optional[str]
    drift_targets: Optional[str]


class Trainer(DriftMixin, SwapMixin, ExactTrainer):
    """The trainer of both tasks: ESPnet's loop with our step, encoder swaps and drift checks."""

    @classmethod
    def build_options(cls, args) -> TrainerOptions:
        """The options; ESPnet calls this after it has written config.yaml, on the first rank into `STARTING`.

        main_worker has hidden init_param from ESPnet, whose loader does not know that files refer to others.
        """
        args.init_param = args.__dict__.pop("hidden_init_param")
        if Path(args.output_dir).name == STARTING:
            starting = Path(args.output_dir)
            options, args.output_dir = checkpoints.read_config(starting / "config.yaml"), str(starting.parent)
            options["init_param"] = options.pop("hidden_init_param")
            config = starting.parent / "config.yaml"
            if args.resume and checkpoints.begun(starting.parent) and config.exists():
                log_changed_batches(of_all_ranks(checkpoints.read_config(config)), of_all_ranks(options))
            checkpoints.write_config(config, {**options, "output_dir": args.output_dir})
            (starting / "config.yaml").unlink()
            with suppress(OSError):  # wandb has its files there
                starting.rmdir()
        return build_dataclass(TrainerOptions, args)

    @classmethod
    def run(cls, model, trainer_options, **kwargs) -> None:
        """As the base classes, with --compile_encoder and --gradient_checkpointing; parameters are frozen by now."""
        if trainer_options.compile_encoder:
            check_compiler(device_of(trainer_options))
            compile_blocks(model.encoder)
        checkpoint_gradients(model, trainer_options.gradient_checkpointing)
        super().run(model=model, trainer_options=trainer_options, **kwargs)


class SpeechTask(AbsTask):
    """Base of our tasks; a subclass adds its arguments, its preprocessor and its model."""

    num_optimizers = 1
    trainer = Trainer
    class_choices_list = [frontend_choices, specaug_choices, normalize_choices, encoder_choices]

    @classmethod
    def add_task_arguments(cls, parser) -> None:
        group = parser.add_argument_group("Task related")
        add = group.add_argument
        hidden = dict(dest=argparse.SUPPRESS, default=argparse.SUPPRESS)  # not an option of the saved config.yaml
        help_text = "YAML files with options that --config may replace"
        add("--base_config", action=BaseConfig, nargs="+", metavar="FILE", help=help_text, **hidden)
        add("--max_frames", type=int, default=20000, help="most padded feature frames per batch and rank")
        help_text = "accum_grad, num_iters_per_epoch and cr_warmup_batches count the batches of all ranks together"
        add("--shared_batches", type=str2bool, default=False, help=help_text)
        add("--valid_max_frames", type=int_or_none, default=None, help="the same in validation")
        help_text = f"{', '.join(PARTS)}: their blocks are computed again in the backward pass, which saves memory"
        add("--gradient_checkpointing", nargs="*", default=[], metavar="PART", help=help_text)
        help_text = "torch.compile for the encoder's blocks: minutes at the start; meant for GPUs"
        add("--compile_encoder", type=str2bool, default=False, help=help_text)
        help_text = "speed, noise_prob, nonspeech_prob, noise, snr_db, max_pad_s"
        add("--augment_conf", action=NestedDictAction, default={}, help=help_text)
        add("--model_conf", action=NestedDictAction, default=get_default_kwargs(cls.model_class))
        for choices in cls.class_choices_list:
            choices.add_arguments(group)

    @classmethod
    def get_parser(cls):
        """ESPnet's parser; a wrong option is one line on stderr and exit code 1."""
        parser = super().get_parser()
        parser.error = lambda message: parser.exit(1, f"{cls.__name__}: {message} (see --help)\n")
        for action in parser._actions:
            if isinstance(action, NestedDictAction):
                action.type = plain_values
            elif action.dest == "config":
                action.type = readable_file
            elif action.dest == "pretrain_path":
                action.type = obsolete
        return parser

    @classmethod
    def config_of(cls, config_file: PathLike) -> argparse.Namespace:
        """The options saved by a training, or those of a packed model.

        Raises:
            ValueError: the file is damaged, or is of a model that needs another version of this package.
        """
        return argparse.Namespace(**packed.resolved(checkpoints.read_config(config_file), config_file))

    @classmethod
    def load(cls, config_file: PathLike, model_file: PathLike, device: str = "cpu"):
        """The trained model in eval mode and its configuration; LoRA is merged into the LLM.

        Raises:
            ValueError: weights are missing or left over (ESPnet's own loader would be silent).
        """
        args = cls.config_of(config_file)
        args.lora = {}
        model = cls.build_model(args)
        load_state(model, read_state(model_file), model_file, config_file)
        return model.to(device).eval(), args

    @classmethod
    def build_optimizers(cls, args, model) -> List[torch.optim.Optimizer]:
        """ESPnet's optimizer, over the trained parameters and with the factors of --lr_factor."""
        optimizers = super().build_optimizers(args, model)
        set_factors(optimizers[0], model, args.lr_factor)
        return optimizers

    @classmethod
    def build_components(cls, args) -> dict:
        """Frontend, specaug, normalize and encoder from their names and configurations."""
        built = {}
        for choices in cls.class_choices_list:
            component, option = choices.get_class(getattr(args, choices.name)), f"{choices.name}_conf"
            conf = getattr(args, option)
            if choices is encoder_choices:
                conf = {"input_size": built["frontend"].output_size(), **conf}
            built[choices.name] = component and build(component, option, conf)
        check_mix(args, **built)
        return built

    @classmethod
    def build_augmentation(cls, args) -> Augmentation:
        """The augmentation of --augment_conf (by default none). Raises ValueError for impossible options."""
        frontend, lengths = cls.build_frontend(args), cls.encoder_windows(args).count
        parts = dict(frontend=frontend, output_lengths=lengths, seed=args.seed)
        targets = dict(frames_needed=cls.frames_needed, emptied=cls.emptied)
        return build(Augmentation, "augment_conf", args.augment_conf, **parts, **targets)

    @classmethod
    def build_frontend(cls, args) -> Frontend:
        return build(frontend_choices.get_class(args.frontend), "frontend_conf", args.frontend_conf)

    @classmethod
    def encoder_windows(cls, args) -> Windows:
        """The windows of feature frames of which the encoder makes its frames."""
        return encoders.windows_of(args.encoder, args.encoder_conf, cls.build_frontend(args).output_size())

    @classmethod
    def frames_needed(cls, utterance: Utterance) -> int:
        """Encoder frames that an utterance must keep when augmentation makes it faster."""
        return 1

    @classmethod
    @abstractmethod
    def emptied(cls, utterance: Utterance) -> Utterance:
        """The utterance with the target of audio without speech."""

    @classmethod
    def build_collate_fn(cls, args, train: bool) -> Callable[[Collection], tuple]:
        return collate

    @classmethod
    def build_sequence_iter_factory(cls, args, iter_options, mode: str) -> SequenceIterFactory:
        """As ESPnet's, with batches within the budgets; those of a training are drawn anew in each pass."""
        if not iter_options.shape_files:
            raise ValueError(f"no --{mode}_shape_file: give dump/{mode}/utt2num_frames (made by stage 2)")
        rank, world_size = 0, 1
        if iter_options.distributed:
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        ranks = dict(rank=rank, world_size=world_size)
        frames, augmentation = read_num_frames(iter_options.shape_files[0]), cls.build_augmentation(args)
        dataset = cls.build_dataset(args, iter_options, set(frames))
        if mode == "train":
            longest = augmentation.longest(frames) if augmentation.is_on else frames
            counted = getattr(args, "max_llm_tokens", None) is not None
            lengths = cls.label_lengths(args, dataset.loader_dict["text"]) if counted else {}
            batches = cls.build_batches(args, longest, lengths, **ranks)
            if augmentation.is_on:
                dataset, batches = AugmentedDataset(dataset, augmentation), NumberedBatches(batches)
        else:  # always the same batches; they keep no gradients, so LLM tokens are not counted
            budget = args.valid_max_frames or args.max_frames
            batches = BucketBatches(frames, budget, least=1, **ranks).generate(0)[: iter_options.num_batches]
        logging.info("[%s] %d batches a rank for %d utterances", mode, len(batches), len(frames))
        return SequenceIterFactory(
            dataset=dataset,
            batches=batches,
            seed=args.seed,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            shuffle=iter_options.train,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )

    @classmethod
    def label_lengths(cls, args, texts: Mapping[str, str]) -> Dict[str, Dict[str, int]]:
        """{name of a length of the model's input: {utterance: length}} of what the LLM reads besides speech."""
        return {}

    @classmethod
    def build_batches(cls, args, frames: Mapping[str, int], lengths: Mapping, **ranks: int) -> BucketBatches:
        """The batches of a training; `frames` count augmentation at its longest, `lengths` are `label_lengths`."""
        return BucketBatches(frames, args.max_frames, **ranks)

    @classmethod
    def build_dataset(cls, args, iter_options, keys_to_load=None):
        """As ESPnet's. Raises ValueError, with the name of the table, for one that is damaged or lacks an utterance."""
        tables = [path for path, _, _ in iter_options.data_path_and_name_and_type]
        for path in tables:
            check_file(path)
        try:
            dataset = super().build_dataset(args, iter_options, keys_to_load)
        except (RuntimeError, UnicodeDecodeError) as error:
            for path in tables:
                deque(read_rows(path), maxlen=0)  # names a table that is not UTF-8
            raise ValueError(f"{error}: run the data stage (2)") from error
        for path, table in zip(tables, dataset.loader_dict.values()):
            missing = next((uid for uid in keys_to_load or () if uid not in table), None)
            if missing is not None:
                raise ValueError(f"{path} lacks '{missing}', which is in utt2num_frames: run the data stage (2)")
        return dataset

    @classmethod
    def main_worker(cls, args) -> None:
        """Runs ESPnet's worker, then closes the process group (without that, some gloo runs abort at exit).

        Raises:
            ValueError: a training runs in --output_dir already, or it was trained with other options or inputs; a
                checkpoint (of --init_param, or to resume from) does not fit the model.
        """
        check_options(args)
        cls.build_augmentation(args)
        ranks = build_dataclass(DistributedOption, args)
        ranks.init_options()
        # For config.yaml, whose last option stays `distributed`: a file that is cut off lacks it.
        num_ranks = ranks.dist_world_size if ranks.distributed else 1
        args.num_ranks, args.distributed = num_ranks, vars(args).pop("distributed")
        share_batches(args, num_ranks)
        output_dir = args.output_dir
        with ExitStack() as until_end:
            if is_first_rank(ranks):  # ESPnet stops the others with it
                until_end.enter_context(only_one(Path(output_dir), "training"))
                check_same_training(cls.config_of, args)
            cls.check_checkpoints(args)
            if not (args.collect_stats or args.dry_run):  # until build_options
                args.hidden_init_param, args.init_param = args.init_param, []
                if is_first_rank(ranks):
                    args.output_dir = str(Path(output_dir, STARTING))
            with naming_full_disk(output_dir), explaining_stops():
                super().main_worker(args)
            if torch.distributed.is_initialized():
                torch.distributed.barrier()
                torch.distributed.destroy_process_group()

    @classmethod
    def check_checkpoints(cls, args) -> None:
        """Raises ValueError for an --init_param that would load nothing (ESPnet would be silent)."""
        for spec in args.init_param:
            path, source = (spec.split(":") + [""])[:2]
            if not Path(path).is_file():
                raise ValueError(f"--init_param {path} does not exist: run the stage that trains it")
            try:
                names = list(read_state(path, lazy=True))
            except ValueError as error:
                raise ValueError(f"--init_param {error}") from error
            if not any(name.startswith(source) for name in names):
                raise ValueError(f"--init_param {path} has no weights '{source}.*': give <n>epoch.pth")

    @classmethod
    def check_required_command_args(cls, args) -> None:
        """Raises ValueError for a missing option (ESPnet would print its whole usage)."""
        missing = [f"--{name}" for name in args.required if getattr(args, name) is None]
        if missing:
            raise ValueError(f"missing {', '.join(missing)} (see --help)")

    @classmethod
    def check_task_requirements(cls, *args, **kwargs) -> None:
        """As ESPnet's, but wrong data names are a user's error."""
        try:
            super().check_task_requirements(*args, **kwargs)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False):
        return ()


def read_token_list(token_list) -> List[str]:
    """The tokens of a file (one per line). A list, as in a saved configuration, is returned as it is.

    Raises:
        ValueError: no list was given, or it does not begin with <blank> and <unk>.
    """
    if token_list is None:
        raise ValueError("no token list: give --token_list dump/phones.txt (made by stage 2)")
    tokens = read_tokens(token_list) if isinstance(token_list, str) else list(token_list)
    if tokens[:2] != ["<blank>", "<unk>"]:
        name = f"the token list {token_list}" if isinstance(token_list, str) else "the token list"
        raise ValueError(f"{name} begins with {tokens[:2]}, expected ['<blank>', '<unk>']: make it by stage 2")
    return tokens
