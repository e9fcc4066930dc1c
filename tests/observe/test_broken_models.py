"""Models that cannot be measured say so; transformers would go on with random weights, ESPnet end in a traceback."""

import json
import re
import shutil

import pytest
import torch
import yaml

from espnet_llmasr.observe.encoders import find_encoder


def changed(folder, target, name, change):
    """A copy of the folder of a model; `change` makes the new text or bytes of one of its files of the old ones."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    old = (target / name).read_bytes()
    new = change(old if name.endswith(("safetensors", "pth")) else old.decode())
    (target / name).write_bytes(new if isinstance(new, bytes) else new.encode())
    return str(target)


def options(**values):
    """A change of config.json."""
    return lambda old: json.dumps({**json.loads(old), **values})


def assert_refused(tmp_path, *cases):
    """Cases: folder, name of a file, its change, message."""
    for number, (folder, name, change, message) in enumerate(cases):
        with pytest.raises(ValueError, match=message):
            find_encoder(changed(folder, tmp_path / str(number), name, change)).open()


def test_hugging_face(whisper, wav2vec, tmp_path):
    (model, _), (other, _), weights = whisper, wav2vec, "model.safetensors"
    extractor = "preprocessor_config.json"
    assert_refused(
        tmp_path,
        (other, weights, lambda old: old[: len(old) // 2], "weights in .* are broken or do not fit"),
        (other, weights, lambda old: b"", "are broken or do not fit"),
        (other, "config.json", options(num_hidden_layers=5), r"lack encoder.layers.3.\S+ \(\d+ in all\)"),
        (other, "config.json", options(intermediate_size=20), "are broken or do not fit"),
        (other, extractor, lambda _: (model / extractor).read_text(), "none takes input_features alone"),
        (model, extractor, lambda _: (other / extractor).read_text(), "none takes input_values alone"),
        (model, extractor, options(feature_size=128), "WhisperEncoder: .*expected input.* to have 80 channels"),
    )


def test_features_of_another_model(w2v_bert, speech2text, tmp_path):
    extractor = "preprocessor_config.json"
    (w2v, _), (s2t, _) = w2v_bert, speech2text
    assert_refused(
        tmp_path,
        (w2v, extractor, options(feature_size=40, num_mel_bins=40), r"Wav2Vec2BertModel: .*160"),
        (w2v, extractor, options(stride=4), "Wav2Vec2BertModel: "),
        (s2t, extractor, lambda _: (w2v / extractor).read_text(), "Speech2TextEncoder: "),
        (w2v, extractor, lambda _: (s2t / extractor).read_text(), "Wav2Vec2BertModel: "),
    )


def test_an_encoder_without_its_decoder_is_enough(whisper, samples, tmp_path):
    folder, model = whisper
    state = {name: weight for name, weight in model.state_dict().items() if not name.startswith("decoder.")}
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone)
    (alone / "model.safetensors").unlink()
    torch.save(state, alone / "pytorch_model.bin")
    found, whole = (find_encoder(str(path)).open()(samples(0.5)).layers for path in (alone, folder))
    torch.testing.assert_close(found, whole)
    assert len(found) == 3


def test_espnet(stock, samples, tmp_path):
    folder, config = stock[0], "config.yaml"
    stats = re.compile(r"normalize: utterance_mvn\nnormalize_conf: \{\}")
    mvn = "normalize: global_mvn\nnormalize_conf: {stats_file: exp/stats.npz}"
    assert stats.search(_sorted(folder))
    renamed = lambda old: old.replace("cnn_module_kernel", "kernel")
    assert_refused(
        tmp_path,
        (folder, config, lambda old: "3\n", "is of another task"),
        (folder, config, lambda old: "- encoder: x\n", "is of another task"),
        (folder, config, renamed, "is not of this version of ESPnet: .*kernel"),
        (folder, config, lambda _: stats.sub(mvn, _sorted(folder)), "config.yaml needs exp/stats.npz: run this in"),
        (folder, "valid.acc.ave.pth", lambda old: b"junk", "is broken or missing"),
    )
    encoder = find_encoder(str(folder)).open()
    for seconds in (0.001, 0.03):  # shorter than the window; than the subsampling
        with pytest.raises(ValueError, match=rf"refuses {seconds:.3f} s of audio \(.*: leave it out if short"):
            encoder(samples(seconds))


def _sorted(folder):
    return yaml.safe_dump(yaml.safe_load((folder / "config.yaml").read_text()))


def test_a_streaming_encoder_has_one_depth_whatever_the_length(stock, samples, tmp_path):
    """Its blocks see all of a short utterance, and pieces of a long one."""
    from espnet2.tasks.asr import ASRTask

    def streaming(old):
        conf = yaml.safe_load(old)
        sizes = dict(block_size=16, hop_size=8, look_ahead=4)
        conf["encoder_conf"].update(sizes)
        return yaml.safe_dump({**conf, "encoder": "contextual_block_conformer"})

    folder = changed(stock[0], tmp_path / "streaming", "config.yaml", streaming)
    model, _ = ASRTask.build_model_from_file(f"{folder}/config.yaml", device="cpu")
    torch.save(model.state_dict(), f"{folder}/valid.acc.ave.pth")
    encoder = find_encoder(folder).open()
    assert [len(encoder(samples(seconds)).layers) for seconds in (0.3, 1.5)] == [1, 1]


def test_a_checkpoint_that_is_no_dictionary(own, tmp_path):
    folder = changed(own[0] / "pretrain", tmp_path / "x", "1epoch.pth", lambda old: old)
    torch.save(torch.ones(3), f"{folder}/latest.pth")
    with pytest.raises(ValueError, match="holds no weights but a Tensor"):
        find_encoder(folder).open()
