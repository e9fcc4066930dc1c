"""A pack: what is in it, and that it transcribes alike after a move, in a new process without network."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from espnet_llmasr import Speech2Text
from espnet_llmasr.asr.packed_weights import read_packed, write_packed
from espnet_llmasr.asr.weights import read_state
from espnet_llmasr.bin import pack as pack_command
from espnet_llmasr.train.speech_batches import SpeechSet
from espnet_llmasr.zoo.load import load

TRANSCRIBE = """
import socket, sys, json
from pathlib import Path

def refuse(*args, **kwargs):
    raise OSError("no network in this test")

for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
from espnet_llmasr import Speech2Text
from espnet_llmasr.train.speech_batches import SpeechSet
if sys.argv[2] == "zoo":
    from espnet_model_zoo.downloader import ModelDownloader

    models = [Speech2Text(**ModelDownloader(sys.argv[3]).download_and_unpack(sys.argv[4]), guard="flag")]
else:
    models = [Speech2Text.from_pretrained(source, guard="flag") for source in sys.argv[3:]]
for model in models:
    batches = SpeechSet(Path(sys.argv[1])).batches(10000, 16000)
    rows = [[[h.text, h.score, h.confidence] for h in model.batch(speech, lengths)] for _, speech, lengths in batches]
    print(json.dumps(rows))
"""


def transcripts(model, data_dir) -> list:
    """As TRANSCRIBE, of a model in this process."""
    batches = SpeechSet(data_dir).batches(10000, 16000)
    return [[[h.text, h.score, h.confidence] for h in model.batch(speech, lengths)] for _, speech, lengths in batches]


def options(llm_model, ctc_head, out) -> list:
    model = ["--llm_asr_train_config", llm_model / "config.yaml", "--llm_asr_model_file", llm_model / "1epoch.pth"]
    head = ["--ctc_train_config", ctc_head / "config.yaml", "--ctc_model_file", ctc_head / "latest.pth"]
    return [*model, *head, "--out", out]


@pytest.fixture(scope="session")
def scores(tmp_path_factory):
    """A folder with scores.json of one decoded set, and robustness/{off,flag}/scores.json of clips without speech."""
    from espnet_llmasr.scoring.score import score_sets

    root = tmp_path_factory.mktemp("scores")
    texts = {"test": ("a red cat\nb 你好\n", "a red dog\nb 你好\n"), "nonspeech": ("c\nd\n", "c red\nd\n")}
    for name, both in texts.items():
        for side, text in zip(("ref", "hyp"), both):
            (root / side / name).mkdir(parents=True)
            (root / side / name / "text").write_text(text, encoding="utf-8")
    for name, files in {"test": "a b", "nonspeech": "c d"}.items():
        (root / "ref" / name / "utt2num_frames").write_text("".join(f"{uid} 300\n" for uid in files.split()))
    score_sets(root / "ref", root / "hyp", ["test"], routes=["none"])
    shutil.move(root / "hyp" / "nonspeech", root / "robustness" / "off" / "nonspeech")
    shutil.copytree(root / "robustness" / "off", root / "robustness" / "flag")
    (root / "robustness" / "flag" / "nonspeech" / "flagged").write_text("c non_speech\n")
    for mode in ("off", "flag"):
        score_sets(root / "ref", root / "robustness" / mode, ["nonspeech"], routes=["none"])
    return root


@pytest.fixture(scope="session")
def packed(llm_model, ctc_head, corpus, scores, tmp_path_factory):
    """The folder of a pack, made in another folder than the one of the training."""
    out = tmp_path_factory.mktemp("packs") / "tiny"
    results = out.parent / "RESULTS.md"
    results.write_text("# Results\n")
    card = ["--license", "apache-2.0", "--languages", "zh", "en", "--base_model", "Qwen/Qwen3-1.7B", "--pages", results]
    card += ["--data", corpus / "train", "--scores", scores / "hyp/scores.json", "--robustness", scores / "robustness"]
    card += ["--decoding=--guard flag --beam_size 10"]
    pack_command.main([*map(str, [*options(llm_model, ctc_head, out), *card])])
    return out


def test_what_is_in_it(packed):
    names = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    assert names >= {
        "meta.yaml",
        "config.yaml",
        "ctc_config.yaml",
        "model.safetensors",
        "ctc.safetensors",
        "guard.json",
    }
    assert names >= {
        "phones.txt",
        "feats_stats.npz",
        "README.md",
        "RESULTS.md",
        "llm/config.json",
        "llm/tokenizer.json",
    }
    assert not [name for name in names if name.endswith((".py", ".pth", ".bin")) or "weights" in name]
    with zipfile.ZipFile(packed.with_suffix(".zip")) as archive:
        assert set(archive.namelist()) == names


def test_no_folder_of_this_machine_is_named(packed, corpus, tiny_llm, llm_model, ctc_head):
    for file in [*packed.glob("*.yaml"), *packed.rglob("*.json"), packed / "README.md"]:
        text = file.read_text(encoding="utf-8").replace(json.loads((ctc_head / "guard.json").read_text())["data"], "")
        assert not [folder for folder in (corpus, tiny_llm, llm_model, ctc_head) if str(folder.parent) in text], file
    config = yaml.safe_load((packed / "config.yaml").read_text())
    assert config["llm_config"] == "llm/config.json" and config["normalize_conf"]["stats_file"] == "feats_stats.npz"
    assert not {"output_dir", "train_data_path_and_name_and_type", "init_param"} & config.keys()


def test_a_frozen_part_that_stands_in_another_file_is_packed(packed, llm_model):
    whole, stored = read_state(llm_model / "1epoch.pth"), read_packed(packed / "model.safetensors")
    assert whole.keys() == stored.keys() and all(torch.equal(whole[name], stored[name]) for name in whole)


@pytest.mark.parametrize("zoo", [False, True], ids=["our_loader", "espnet_model_zoo"])
def test_transcripts_are_equal_after_pack_move_and_load_without_network(
    packed, llm_model, ctc_head, corpus, tmp_path, zoo
):
    if zoo:
        pytest.importorskip("espnet_model_zoo")
    head = dict(ctc_train_config=ctc_head / "config.yaml", ctc_model_file=ctc_head / "latest.pth")
    trained = Speech2Text(llm_model / "config.yaml", llm_model / "latest.pth", guard="flag", **head)
    expected = transcripts(trained, corpus / "valid")
    folder, archive = shutil.copytree(packed, tmp_path / "moved"), tmp_path / "moved.zip"
    shutil.copy(packed.with_suffix(".zip"), archive)
    sources = ["zoo", tmp_path / "cache", archive] if zoo else ["ours", folder, archive]
    command = [sys.executable, "-c", TRANSCRIBE, corpus / "valid", *sources]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[[")]
    assert len(found) == (1 if zoo else 2) and all(rows == expected for rows in found)


def test_the_card(packed):
    text = (packed / "README.md").read_text(encoding="utf-8")
    assert "All tables: RESULTS.md. Decoded with `--guard flag --beam_size 10`.\n\n| set" in text
    meta = yaml.safe_load(text.split("---")[1])
    assert (
        meta["library_name"] == "espnet_llmasr" and meta["license"] == "apache-2.0" and meta["language"] == ["zh", "en"]
    )
    assert meta["base_model"] == "Qwen/Qwen3-1.7B" and meta["pipeline_tag"] == "automatic-speech-recognition"
    assert meta["model-index"][0]["results"][0]["metrics"][0]["value"] == 25.0
    assert "| train | 8 | 0.00 |" in text and "| test | 2 |" in text and "25.00 (" in text
    assert "| without the guard | 50.00 (" in text
    assert re.search(r"\| flagged ones dropped \(50.00 .* % flagged\) \| 0.00 \(.*\) \| 0 \|", text)
    for part in ("How to use", "Training data", "Hallucinations", "Intended use", "Limits", 'guard="flag"'):
        assert part in text
    assert "\n\n\n" not in text


def test_lora_is_merged(llm_options, tmp_path, corpus):
    from espnet_llmasr.tasks.llm_asr import LLMASRTask

    out = tmp_path / "lora"
    LLMASRTask.main(cmd=llm_options(out, max_epoch=1, lora=dict(rank=2)))
    command = ["--llm_asr_train_config", out / "config.yaml", "--llm_asr_model_file", out / "latest.pth"]
    pack_command.main([*map(str, [*command, "--out", tmp_path / "pack"])])
    assert not [name for name in read_packed(tmp_path / "pack/model.safetensors") if "lora" in name]
    expected = transcripts(Speech2Text(out / "config.yaml", out / "latest.pth"), corpus / "valid")
    assert transcripts(Speech2Text.from_pretrained(tmp_path / "pack"), corpus / "valid") == expected


def test_equal_weights_are_stored_once(tmp_path):
    tied = torch.rand(50, 40)
    model = {"encoder.w": torch.rand(60, 70), "llm.head": tied, "llm.embedding": tied, "count": torch.tensor(3)}
    head = {"encoder.w": model["encoder.w"].clone(), "ctc_head.w": torch.rand(5, 6)[:, :3]}
    write_packed(tmp_path / "model.safetensors", model)
    write_packed(tmp_path / "ctc.safetensors", head, beside=tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size < 4 * (4200 + 2000) + 1000
    assert (tmp_path / "ctc.safetensors").stat().st_size < 1000
    for name, state in {"model": model, "ctc": head}.items():
        stored = read_packed(tmp_path / f"{name}.safetensors")
        assert stored.keys() == state.keys() and all(torch.equal(stored[key], state[key]) for key in state)


def test_packing_again_replaces_a_pack_and_nothing_else(llm_model, ctc_head, tmp_path, command):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("x")
    failed = command(pack_command, *options(llm_model, ctc_head, tmp_path / "mine"))
    assert failed.code == 1 and "was not made here (it has no meta.yaml)" in failed.err
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "letter.txt"]


def test_missing_files_are_named_before_anything_is_written(llm_model, ctc_head, tmp_path, command):
    wrong = options(llm_model, tmp_path / "nowhere", tmp_path / "out")
    failed = command(pack_command, *wrong)
    assert failed.code == 1 and f"{tmp_path}/nowhere/config.yaml does not exist" in failed.err
    assert not (tmp_path / "out").exists()
    assert command(pack_command, *wrong[:6], *wrong[-2:]).err.count("give both or none") == 1


def test_arguments_are_those_of_the_constructor(packed):
    found = load(packed)
    assert {*found} == {"llm_asr_train_config", "llm_asr_model_file", "ctc_train_config", "ctc_model_file"}
    assert all(Path(path).is_file() for path in found.values())
