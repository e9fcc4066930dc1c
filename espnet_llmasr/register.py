"""Adds our components to ESPnet's speech tasks. A task gets them when it is imported: importing one takes seconds."""

import os
import runpy
import sys
from argparse import Namespace
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Tuple

if TYPE_CHECKING:
    from espnet2.asr.espnet_model import ESPnetASRModel

COMPONENTS = {  # name in a recipe's configuration -> where the task lists its choices, class
    "kaldi_fbank": ("frontend_choices", "espnet_llmasr.asr.fbank.KaldiFbank"),
    "firered_conformer": ("encoder_choices", "espnet_llmasr.asr.conformer.FireRedConformerEncoder"),
    "cr_ctc": ("model_choices", "espnet_llmasr.asr.cr_ctc_asr_model.CRCTCASRModel"),
}
TASKS = {  # module of ESPnet -> the components that it can use; enh_s2t takes its choices from asr and st
    "espnet2.tasks.asr": ("kaldi_fbank", "firered_conformer", "cr_ctc"),
    "espnet2.tasks.s2t": ("kaldi_fbank", "firered_conformer"),
    "espnet2.tasks.slu": ("kaldi_fbank", "firered_conformer"),
    "espnet2.tasks.st": ("kaldi_fbank", "firered_conformer"),
    "espnet2.tasks.s2t_ctc": ("kaldi_fbank",),  # its encoders take a prompt
    "espnet2.tasks.asr_transducer": ("kaldi_fbank",),  # it builds its encoder from blocks
}
LIGHTNING = "espnet2.train.lightning_espnet_model"
MODULE = "ESPNET_LLMASR_MODULE"  # environment: the module that `python -m espnet_llmasr -m MODULE` runs


def register() -> None:
    """Makes our components (COMPONENTS) work in any recipe of these tasks (TASKS), those of later imports included.

    It also adds the task llm_asr to espnet.load(), if this ESPnet has that function.
    """
    for name in (*TASKS, "espnet", LIGHTNING):
        if name in sys.modules:
            add_to(sys.modules[name])
    if not any(isinstance(finder, ImportWatch) for finder in sys.meta_path):
        sys.meta_path.insert(0, ImportWatch())


def add_to(module: ModuleType) -> None:
    """Adds the components to a task of ESPnet, or our task to the package espnet.

    ESPnet's Lightning trainings store their options, a Namespace, in checkpoints that they read with weights_only.
    """
    if module.__name__ == "espnet":
        getattr(module, "TASKS", {})["llm_asr"] = ("espnet_llmasr.inference.speech2text", "Speech2Text")
    elif module.__name__ == LIGHTNING:
        module.torch.serialization.add_safe_globals([Namespace])
    for name in TASKS.get(module.__name__, ()):
        choices, path = COMPONENTS[name]
        package, _, component = path.rpartition(".")
        getattr(module, choices).classes[name] = getattr(import_module(package), component)


class ImportWatch(MetaPathFinder):
    """Calls `add_to` once one of the modules is imported. The other finders find the module."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in ("espnet", LIGHTNING) and fullname not in TASKS:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                add_to(module)

            spec.loader.exec_module = exec_module
        return spec


def load_asr(config: Path, weights: Path, device: str = "cpu") -> "Tuple[ESPnetASRModel, Namespace]":
    """A model of the stock ASR task, in eval mode, and its configuration.

    Raises:
        ValueError: weights are broken, missing or left over (ESPnet's own loader would be silent), or the configuration
            has unknown options, or names a file that does not exist.
    """
    from espnet_llmasr.asr.weights import load_state, read_state
    from espnet_llmasr.espnet_versions import quiet_imports

    register()
    with quiet_imports():
        from espnet2.tasks.asr import ASRTask
    try:
        model, args = ASRTask.build_model_from_file(config, device=device)
    except FileNotFoundError as error:
        advice = "run this in the folder of the recipe that trained it"
        raise ValueError(f"{config} needs {error.filename}: {advice}") from error
    except TypeError as error:
        raise ValueError(f"{config} is not of this version of ESPnet: {error}") from error
    load_state(model, read_state(weights), weights, config)
    return model.eval(), args


if __name__ == "__mp_main__":  # the name under which a spawned worker imports this module, see __main__.py
    register()
elif __name__ == "__main__" and MODULE in os.environ:
    # Lightning starts its other ranks by the main module's name and the arguments of the program.
    sys.argv[1:1] = ["-m", os.environ[MODULE]]
    runpy.run_module("espnet_llmasr", run_name="__main__")
