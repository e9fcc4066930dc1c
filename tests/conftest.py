"""Shared fixtures: a tiny LLM, a tiny corpus of tones, and tiny trainings in this process."""

import os
import subprocess
import sys
import traceback
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers everywhere; and forks may compute gradients
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402

torch.set_num_threads(1)

PHONES = ["<blank>", "<unk>", "a1", "b", "i4", "sh", "AH", "K", "S", "T"]
WORDS = ["red", "blue", "green", "cat", "dog", "你", "好", "天", "气"]
SECONDS = (0.4, 2.1, 0.5, 1.6, 0.7, 1.2, 0.9, 1.0)
FS = 16000
ENCODER = dict(output_size=64, num_blocks=2, attention_heads=2, kernel_size=9, dropout_rate=0.1, pe_maxlen=200)
COMMON = dict(
    max_epoch=2,
    num_iters_per_epoch=2,
    max_frames=500,
    optim="adam",
    optim_conf=dict(lr=0.001),
    grad_clip=5.0,
    encoder_conf=ENCODER,
    keep_nbest_models=1,
    use_matplotlib=False,
    use_tensorboard=False,
    num_workers=0,
    ngpu=0,
    seed=0,
)


def tone(seconds: float, rng) -> np.ndarray:
    """A sum of two tones with noise, (N,)."""
    time = np.arange(int(seconds * FS)) / FS
    clean = sum(np.sin(2 * np.pi * pitch * time) for pitch in rng.uniform(150, 3000, 2))
    return (0.1 * clean + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def write_set(directory: Path, seconds, seed: int) -> Path:
    """wav.scp, text, phones and utt2num_frames of one set."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    tables = {name: [] for name in ("wav.scp", "text", "phones", "utt2num_frames")}
    for number, duration in enumerate(seconds):
        uid, wav = f"{directory.name}_{number}", directory / f"{number}.wav"
        soundfile.write(wav, tone(duration, rng), FS)
        length = max(1, int(3 * duration))
        tables["wav.scp"].append(f"{uid} {wav}")
        tables["text"].append(f"{uid} {' '.join(rng.choice(WORDS, length))}")
        tables["phones"].append(f"{uid} {' '.join(rng.choice(PHONES[2:], length))}")
        tables["utt2num_frames"].append(f"{uid} {1 + (int(duration * FS) - 400) // 160}")
    for name, rows in tables.items():
        (directory / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return directory


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """The grammars of WeTextProcessing are built for the tests and not in the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESPNET_LLMASR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """root / {train, valid, phones.txt, feats_stats.npz}: eight and four utterances of 0.4 to 2.1 s."""
    from espnet_llmasr.bin import compute_stats

    root = tmp_path_factory.mktemp("corpus")
    write_set(root / "train", SECONDS, seed=0)
    write_set(root / "valid", SECONDS[:4], seed=1)
    (root / "phones.txt").write_text("".join(f"{phone}\n" for phone in PHONES))
    compute_stats.main(["--data_dir", str(root / "train"), "--output", str(root / "feats_stats.npz")])
    return root


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory):
    """The directory of an untrained Qwen3 of two layers with its tokenizer, as the LLM-preparation stage writes it."""
    from espnet_llmasr.text.prompt import Prompt
    from espnet_llmasr.train import small_llm

    directory = tmp_path_factory.mktemp("llm")
    tokenizer = small_llm.train_tokenizer([" ".join(WORDS), "red cat", "你好"] * 3, 290)
    torch.manual_seed(0)
    model = small_llm.build(tokenizer, hidden_size=64, num_layers=2)
    small_llm.save_llm(directory, Prompt.render(tokenizer), model)
    return directory


def _options(corpus: Path, out: Path, data: str, conf: dict) -> list:
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.with_name(f"{out.name}.yaml")
    config.write_text(yaml.safe_dump({**COMMON, "normalize_conf": {"stats_file": f"{corpus}/feats_stats.npz"}, **conf}))
    options = ["--config", str(config), "--output_dir", str(out)]
    for name in ("train", "valid"):
        for table in (f"wav.scp,speech,audio_{FS}", f"{data},{data},text"):
            options += [f"--{name}_data_path_and_name_and_type", f"{corpus / name}/{table}"]
        options += [f"--{name}_shape_file", f"{corpus / name}/utt2num_frames"]
    return options


@pytest.fixture(scope="session")
def phone_options(corpus):
    """(output_dir, **configuration) -> the command line of a tiny pretraining."""

    def options(out, **conf):
        defaults = dict(token_list=f"{corpus}/phones.txt", model_conf=dict(cr_warmup_batches=2, time_warp_factor=5))
        return _options(corpus, Path(out), "phones", {**defaults, "specaug": "masks", **conf})

    return options


@pytest.fixture(scope="session")
def llm_options(corpus, tiny_llm):
    """(output_dir, **configuration) -> the command line of a tiny fine-tuning."""

    def options(out, **conf):
        defaults = dict(
            llm_config=f"{tiny_llm}/config.json",
            llm_tokenizer=f"{tiny_llm}/tokenizer.json",
            init_param=[f"{tiny_llm}/llm.pth::llm"],
        )
        return _options(corpus, Path(out), "text", {**defaults, **conf})

    return options


@pytest.fixture(scope="session")
def encoder_conf():
    """(**changes) -> the configuration of the tiny encoder."""
    return lambda **changes: {**ENCODER, **changes}


@pytest.fixture(scope="session")
def build_model():
    """(task, command line) -> a model with seeded weights away from their neutral start, and its options."""

    def build(task, options):
        args = task.get_parser().parse_args(options)
        torch.manual_seed(0)
        model = task.build_model(args)
        for parameter in model.parameters():
            parameter.data.add_(0.02 * torch.randn_like(parameter))
        return model, args

    return build


@pytest.fixture(scope="session")
def llm_model(llm_options, tmp_path_factory):
    """The directory of a fine-tuned LLM-ASR model."""
    from espnet_llmasr.tasks.llm_asr import LLMASRTask

    out = tmp_path_factory.mktemp("model") / "out"
    LLMASRTask.main(cmd=llm_options(out, max_epoch=1))
    return out


@pytest.fixture(scope="session")
def ctc_head(phone_options, tmp_path_factory):
    """The directory of a trained CTC head over zh_en with its guard.json: threshold 0.5, doubtful below 0.9, gap 12."""
    from espnet_llmasr.guard.calibration import Calibration
    from espnet_llmasr.guard.verifier import CTCVerifier
    from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
    from espnet_llmasr.text.inventories import read_tokens

    out = tmp_path_factory.mktemp("head") / "out"
    tokens = out.parent / "phones.txt"
    tokens.write_text("".join(f"{token}\n" for token in read_tokens("zh_en")), encoding="utf-8")
    PhonemeCTCTask.main(cmd=phone_options(out, token_list=str(tokens), max_epoch=1))
    model = CTCVerifier(out / "config.yaml", out / "latest.pth").fingerprint()
    Calibration(0.5, 0.9, 12.0, 0.05, 4, model, "dump/valid").write(out / "guard.json")
    return out


@pytest.fixture(scope="session")
def verifier(ctc_head):
    """The CTC head as a verifier."""
    from espnet_llmasr.guard.verifier import CTCVerifier

    return CTCVerifier(ctc_head / "config.yaml", ctc_head / "latest.pth")


@pytest.fixture(scope="session")
def emit():
    """(phones, sharpness) -> log-probabilities (S, V) whose best path is these phones, two frames each and a blank."""
    from espnet_llmasr.text.inventories import read_tokens

    tokens = read_tokens("zh_en")

    def make(phones: str, sharpness: float = 8.0) -> torch.Tensor:
        path = [0, 0]
        for phone in phones.split():
            path += [tokens.index(phone)] * 2 + [0]
        torch.manual_seed(0)
        logits = torch.rand(len(path), len(tokens))
        logits[range(len(path)), path] += sharpness
        return logits.log_softmax(-1)

    return make


@pytest.fixture(scope="session")
def load_batch(corpus):
    """(task, options, ids) -> the padded batch that a training would see."""
    from espnet_llmasr.files import read_scp
    from espnet_llmasr.train.preprocessor import collate
    from espnet_llmasr.train.speech_batches import read_audio

    def load(task, args, ids=range(8)):
        preprocess = task.build_preprocess_fn(args, train=True)
        tables = {name: read_scp(corpus / "train" / name) for name in ("wav.scp", "text", "phones")}
        rows = []
        for uid in (f"train_{number}" for number in ids):
            data = {"speech": read_audio(uid, tables["wav.scp"][uid], FS)}
            name = task.required_data_names()[1]
            rows.append((uid, preprocess(uid, {**data, name: tables[name][uid]})))
        return collate(rows)

    return load


@pytest.fixture()
def forked():
    """Runs a function in a forked process (everything is imported there) and returns its status as os.waitpid does."""

    def run(function) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                function()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitpid(pid, 0)[1]

    return run


@pytest.fixture()
def command(monkeypatch, capfd):
    """(module, arguments) -> exit code and standard error of `python -m module arguments`, run in this process."""
    from espnet_llmasr import cli

    def run(module, *arguments):
        monkeypatch.setattr("sys.argv", [module.__file__, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.run(module.main)
        return SimpleNamespace(code=exit_.value.code, err=capfd.readouterr().err)

    return run


class Page(HTMLParser):
    """`elements`: (tag, attributes, pieces of text) as opened; `tables`: name -> rows of cells; all tags are closed."""

    VOID = {"meta", "br", "img", "link"}

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.tables, self.rows = [], [], {}, []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        _, has, pieces = self.elements[-1]
        if has.get("role") == "region":
            self.rows = self.tables.setdefault(has["aria-label"], [])
        elif tag == "tr":
            self.rows.append([])
        if tag not in self.VOID:
            self.open.append((tag, pieces))

    def handle_endtag(self, tag):
        opened, pieces = self.open.pop()
        assert opened == tag
        if tag in ("th", "td"):
            self.rows[-1].append("".join(pieces))

    def handle_data(self, data):
        for _, pieces in self.open:
            pieces.append(data)

    def find(self, tag, **wanted):
        """Texts of the elements of that tag with those attributes (`class_` for class)."""
        wanted = {name.rstrip("_"): value for name, value in wanted.items()}
        return ["".join(text) for name, has, text in self.elements if name == tag and wanted.items() <= has.items()]

    def attributes(self, tag):
        return [has for name, has, _ in self.elements if name == tag]


@pytest.fixture(scope="session")
def parse():
    """HTML -> Page."""
    return Page


@pytest.fixture(scope="session")
def two_ranks():
    """Runs `torchrun --standalone --nproc_per_node 2 ARGUMENTS`; returns its output, fails if it fails."""

    def run(*arguments):
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        done = subprocess.run(
            [*launcher, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=1500
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def kaldi_matrix():
    """(file, matrix): writes float64 as Kaldi does, by hand, since ESPnet 202511 and 202611 bring other packages for it."""

    def write(file, matrix):
        rows, columns = (b"\4" + size.to_bytes(4, "little") for size in matrix.shape)
        file.write_bytes(b"\0BDM " + rows + columns + matrix.astype("<f8").tobytes())

    return write


@pytest.fixture(scope="session")
def published(kaldi_matrix):
    """(folder, llm=False) -> (encoder, adaptor or None, sums (2, 81)) of a tiny FireRedASR-AED, or -LLM, put there."""
    import argparse

    from espnet_llmasr.asr.adaptor import ConcatAdaptor
    from espnet_llmasr.asr.conformer import FireRedConformerEncoder

    def publish(folder, llm=False):
        torch.manual_seed(5)
        encoder = FireRedConformerEncoder(**ENCODER).eval()
        adaptor = ConcatAdaptor(64, 48, downsample=2) if llm else None
        aed = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        aed |= {"decoder.tgt_word_emb.weight": torch.ones(9, 64), "decoder.tgt_word_prj.weight": torch.ones(9, 64)}
        options = argparse.Namespace(
            idim=80, odim=9, d_model=64, n_head=2, n_layers_enc=2, n_layers_dec=1, kernel_size=9, pe_maxlen=200
        )
        folder.mkdir()
        if llm:  # whose encoder has been trained on, in part
            old = {name: value + 1 if ".ffn2." in name else value for name, value in aed.items()}
            torch.save({"args": options, "model_state_dict": old}, folder / "asr_encoder.pth.tar")
            own = {name: value for name, value in aed.items() if ".ffn2." in name} | {"llm.lora_A": torch.ones(3)}
            own |= {f"encoder_projector.{name}": value for name, value in adaptor.state_dict().items()}
            aed, options = own, argparse.Namespace(encoder_downsample_rate=2)
        else:
            (folder / "dict.txt").write_text("".join(f"{token} {number}\n" for number, token in enumerate("abcdefghi")))
        torch.save({"args": options, "model_state_dict": aed}, folder / "model.pth.tar")
        rng = np.random.default_rng(3)
        count, mean, deviation = 1000.0, rng.uniform(5, 15, 80), rng.uniform(1, 4, 80)
        deviation[7] = 0.0  # a bin without variance: their floor of 1e-20
        sums = np.zeros((2, 81))
        sums[:, :80], sums[0, 80] = [count * mean, count * (deviation**2 + mean**2)], count
        kaldi_matrix(folder / "cmvn.ark", sums)
        return encoder, adaptor, sums

    return publish
