"""What the two tasks share: components by name, frame-budget batches, our trainer, a clean end of distributed runs."""

import argparse
import logging
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Callable, Collection, List
from zipfile import is_zipfile

import torch
import yaml
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.layers.abs_normalize import AbsNormalize
from espnet2.layers.global_mvn import GlobalMVN
from espnet2.tasks.abs_task import AbsTask
from espnet2.train.class_choices import ClassChoices
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc import SpecAugment
from espnet_llmasr.asr.fbank import KaldiFbank
from espnet_llmasr.files import PathLike
from espnet_llmasr.train.batches import frame_batches, read_num_frames
from espnet_llmasr.train.checkpoints import CURRENT, FINISHED
from espnet_llmasr.train.encoder_store import EncoderStore
from espnet_llmasr.train.preprocessor import collate
from espnet_llmasr.train.swap import read_swaps
from espnet_llmasr.train.trainer import Trainer

MAY_CHANGE = re.compile(  # options that do not change what is learnt, and those of ESPnet's own making
    "config|resume|max_epoch|patience|ngpu|num_workers|dist_|distributed|multiprocessing|log_|use_(tensorboard|wandb)"
    "|use_matplotlib|wandb|num_att_plot|keep_nbest|token_list|version|required|print_config|dry_run|output_dir"
)
frontend_choices = ClassChoices("frontend", dict(kaldi_fbank=KaldiFbank), AbsFrontend, default="kaldi_fbank")
specaug_choices = ClassChoices("specaug", dict(masks=SpecAugment), torch.nn.Module, default=None, optional=True)
normalize_choices = ClassChoices(
    "normalize", dict(global_mvn=GlobalMVN), AbsNormalize, default="global_mvn", optional=True
)
encoder_choices = ClassChoices(
    "encoder", dict(firered_conformer=FireRedConformerEncoder), AbsEncoder, default="firered_conformer"
)


class SpeechTask(AbsTask):
    """Base of our tasks; a subclass adds its arguments, its preprocessor and its model."""

    num_optimizers = 1
    trainer = Trainer
    class_choices_list = [frontend_choices, specaug_choices, normalize_choices, encoder_choices]

    @classmethod
    def add_task_arguments(cls, parser) -> None:
        group = parser.add_argument_group("Task related")
        group.add_argument(
            "--max_frames", type=int, default=20000, help="most padded feature frames per batch and rank"
        )
        group.add_argument("--valid_max_frames", type=int_or_none, default=None, help="the same in validation")
        group.add_argument("--model_conf", action=NestedDictAction, default=get_default_kwargs(cls.model_class))
        for choices in cls.class_choices_list:
            choices.add_arguments(group)

    @classmethod
    def get_parser(cls):
        """ESPnet's parser; a wrong option is one line on stderr and exit code 1."""
        parser = super().get_parser()
        parser.error = lambda message: parser.exit(1, f"{cls.__name__}: {message} (see --help)\n")
        return parser

    @classmethod
    def config_of(cls, config_file: PathLike) -> argparse.Namespace:
        """The options saved by a training."""
        return argparse.Namespace(**yaml.safe_load(Path(config_file).read_text(encoding="utf-8")))

    @classmethod
    def load(cls, config_file: PathLike, model_file: PathLike, device: str = "cpu"):
        """The trained model in eval mode and its configuration.

        Raises:
            ValueError: weights are missing or left over (ESPnet's own loader would be silent).
        """
        args = cls.config_of(config_file)
        model = cls.build_model(args)
        try:
            model.load_state_dict(torch.load(model_file, map_location="cpu", weights_only=True))
        except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
            raise ValueError(f"{model_file} is broken or does not fit {config_file}: {error}") from error
        return model.to(device).eval(), args

    @classmethod
    def build_components(cls, args) -> dict:
        """Frontend, specaug, normalize and encoder from their names and configurations."""
        built = {}
        for choices in cls.class_choices_list:
            component = choices.get_class(getattr(args, choices.name))
            built[choices.name] = component and component(**getattr(args, f"{choices.name}_conf"))
        return built

    @classmethod
    def build_collate_fn(cls, args, train: bool) -> Callable[[Collection], tuple]:
        return collate

    @classmethod
    def build_sequence_iter_factory(cls, args, iter_options, mode: str) -> SequenceIterFactory:
        """As ESPnet's, with batches of at most max_frames padded frames per rank."""
        if not iter_options.shape_files:
            raise ValueError(f"no --{mode}_shape_file: give dump/{mode}/utt2num_frames (made by stage 2)")
        rank, world_size = 0, 1
        if iter_options.distributed:
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        max_frames = args.max_frames if mode == "train" else args.valid_max_frames or args.max_frames
        batches = frame_batches(read_num_frames(iter_options.shape_files[0]), max_frames, world_size)
        batches = [batch[rank::world_size] for batch in batches][: iter_options.num_batches]
        dataset = cls.build_dataset(args, iter_options, {uid for batch in batches for uid in batch})
        logging.info(
            "[%s] %d batches of at most %d frames, %d utterances",
            mode,
            len(batches),
            max_frames,
            sum(map(len, batches)),
        )
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
    def main_worker(cls, args) -> None:
        """Runs ESPnet's worker and leaves the process group in order (some gloo runs abort at exit otherwise).

        Raises:
            ValueError: a checkpoint (of --init_param, or to resume from) does not fit the model.
        """
        check_same_training(cls.config_of, args)
        cls.check_checkpoints(args)
        try:
            super().main_worker(args)
        except RuntimeError as error:
            if "Error(s) in loading state_dict" not in str(error.args):
                raise
            raise ValueError(
                f"a checkpoint of other sizes than the model: {error}: restore its configuration"
            ) from error
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
                names = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
            except (RuntimeError, OSError, EOFError, UnpicklingError):
                names = {}
            if not any(name.startswith(source) for name in names):
                raise ValueError(f"--init_param {path} is broken or has no weights '{source}.*': give <n>epoch.pth")

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


def check_same_training(config_of: Callable, args) -> None:
    """Options and inputs of a training that is taken up again must be those it began with.

    ESPnet would overwrite config.yaml and keep the weights of before.

    Raises:
        ValueError: an option differs, or an input of the finished training is newer than that, or gone.
    """
    output_dir = Path(args.output_dir)
    if not (args.resume and (output_dir / CURRENT).exists() and (output_dir / "config.yaml").exists()):
        return
    saved, given = vars(config_of(output_dir / "config.yaml")), yaml.safe_load(yaml_no_alias_safe_dump(vars(args)))
    changed = [name for name in saved if name in given and saved[name] != given[name] and not MAY_CHANGE.match(name)]
    advice = f"remove {output_dir} or choose another --output_dir (--expdir of a recipe)"
    if changed:
        name = changed[0]
        raise ValueError(f"{output_dir} was trained with {name}={saved[name]}, asked is {given[name]}: {advice}")
    end = output_dir / FINISHED
    for path in inputs_of(args):
        if end.exists() and not path.exists():
            raise ValueError(f"{output_dir} was trained with {path}, which is no longer there: {advice}")
        if end.exists() and path.stat().st_mtime > end.stat().st_mtime:
            raise ValueError(f"{output_dir} was trained before {path} was made: {advice}")


def inputs_of(args) -> List[Path]:
    """The files that decide what a training learns: data, statistics, weights, and the encoders it has swapped in."""
    stats = args.normalize_conf.get("stats_file")
    files = [*args.train_shape_file, *args.valid_shape_file, *([stats] if stats else [])]
    files += [spec.split(":")[0] for spec in args.init_param]
    if args.encoder_dir is not None:
        store, swaps = EncoderStore(args.encoder_dir), read_swaps(Path(args.output_dir) / "swaps.jsonl")
        files += [store.path(swap.encoder_step) for swap in swaps]
    return [Path(path) for path in files]


def read_token_list(token_list) -> List[str]:
    """The tokens of a file (one per line), or the list itself, as it stands in a saved configuration.

    Raises:
        ValueError: no list was given, or its first token is not <blank>.
    """
    if token_list is None:
        raise ValueError("no token list: give --token_list dump/phones.txt (made by stage 2)")
    if isinstance(token_list, str):
        with open(token_list, encoding="utf-8") as f:
            token_list = [line.rstrip("\n") for line in f]
    if token_list[:2] != ["<blank>", "<unk>"]:
        raise ValueError(
            f"the token list begins with {token_list[:2]}, expected ['<blank>', '<unk>']: make it by stage 2"
        )
    return list(token_list)
