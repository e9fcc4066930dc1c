"""Where a packed model may come from, and what is refused."""

import functools
import http.server
import threading
import zipfile

import pytest

from espnet_llmasr.zoo import load as loading
from espnet_llmasr.zoo.load import load


def zipped(folder, name="model.zip", prefix=""):
    path = folder.with_name(name)
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, f"{prefix}{file.relative_to(folder)}")
    return path


@pytest.fixture
def served(pack):
    """The address of a server of the folder of the pack, which ends with the test."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=pack.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_folder_zip_and_url(pack, served):
    assert load(pack) == {
        "llm_asr_train_config": str(pack / "config.yaml"),
        "llm_asr_model_file": str(pack / "model.safetensors"),
    }
    archive, inside = zipped(pack), zipped(pack, "inside.zip", "tiny/")
    for source in (archive, archive, inside, f"{served}/model.zip?download=1"):
        paths = load(source).values()
        assert len(paths) == 2 and all("cache/models/" in path for path in paths)
    with pytest.raises(ValueError, match="cannot download .*nothing.zip"):
        load(f"{served}/nothing.zip")


def test_names_of_the_hub_and_of_the_zoo(pack, served, monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot_download(repo, revision=None, allow_patterns=None):
        asked.append((repo, revision))
        assert "*.py" not in allow_patterns and "*.safetensors" in allow_patterns
        return str(pack)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    zipped(pack)
    monkeypatch.setattr(loading, "zoo_url", lambda name: f"{served}/model.zip" if name == "me/in_zoo" else None)
    for name in ("me/digits", "me/digits@v1", "https://huggingface.co/me/digits"):
        assert load(name)["llm_asr_train_config"] == str(pack / "config.yaml")
    assert "cache/models" in load("me/in_zoo")["llm_asr_train_config"]
    assert asked == [("me/digits", None), ("me/digits", "v1"), ("me/digits", None)]


def test_a_zip_in_a_repository_of_the_hub_is_a_url(pack, monkeypatch):
    url, asked = "https://huggingface.co/me/digits/resolve/main/pack.zip", []
    monkeypatch.setattr(loading, "downloaded", lambda source: asked.append(source) or zipped(pack))
    assert "cache/models" in load(url)["llm_asr_train_config"] and asked == [url]


def test_the_table_of_the_zoo_is_asked(tmp_path, monkeypatch):
    pytest.importorskip("espnet_model_zoo")
    monkeypatch.setenv("ESPNET_LLMASR_CACHE", str(tmp_path))
    assert loading.zoo_url("me/no_such_model") is None
    url = loading.zoo_url("kamo-naoyuki/mini_an4_asr_train_raw_bpe_valid.acc.best")
    assert url.startswith("https://zenodo.org/") and ".zip" in url


def test_a_name_without_network_is_one_line(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("ESPNET_LLMASR_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="no packed model 'me/no_such_model' here, and none from the Hub") as error:
        load("me/no_such_model")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "llm/../../evil.txt", "C:\\evil.txt", "..\\evil.txt"])
def test_members_that_leave_the_folder_are_refused(pack, name):
    archive = zipped(pack)
    with zipfile.ZipFile(archive, "a") as file:
        info = zipfile.ZipInfo("x")
        info.filename = name
        file.writestr(info, "evil")
    with pytest.raises(ValueError, match="which leaves its folder: refused"):
        load(archive)
    assert not [*pack.parent.rglob("evil*")] and not [*(pack.parent / "cache/models").iterdir()]


def test_links_are_refused(pack):
    archive = zipped(pack)
    with zipfile.ZipFile(archive, "a") as file:
        info = zipfile.ZipInfo("guard.json")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="has the member 'guard.json', which leaves its folder"):
        load(archive)


def test_another_version_is_one_line(pack, changed):
    with pytest.raises(
        ValueError, match=r"requires espnet_llmasr>=9.1, installed is .*pip install 'espnet_llmasr>=9.1'"
    ):
        load(changed(requires="espnet_llmasr>=9.1"))
    with pytest.raises(ValueError, match="requires 'x y', expected espnet_llmasr>=VERSION"):
        load(changed(requires="x y"))


def test_what_is_no_pack(pack, changed, tmp_path):
    with pytest.raises(ValueError, match="is no packed model .it has no meta.yaml.: make one with bin.pack"):
        load(tmp_path / "pack/llm")
    with pytest.raises(ValueError, match="no file or folder ./nowhere.zip"):
        load("./nowhere.zip")
    with pytest.raises(ValueError, match="is no zip"):
        load(pack / "config.yaml")
    with pytest.raises(ValueError, match="which is not in its folder"):
        load(changed(files={"llm_asr_model_file": "../x"}))
    with pytest.raises(ValueError, match="names no.safetensors, which is missing"):
        load(changed(files={"llm_asr_model_file": "no.safetensors"}))
    (pack / "meta.yaml").write_text("{files: {}, yaml_files: {}}")
    with pytest.raises(ValueError, match="is no model of espnet_llmasr .*espnet2.bin.asr_inference"):
        load(pack)


def test_code_of_an_llm_is_refused(pack):
    (pack / "llm/config.json").write_text('{"auto_map": {"AutoConfig": "evil.Config"}}')
    with pytest.raises(ValueError, match="asks for Python code"):
        load(pack)


def test_a_broken_zip_leaves_nothing(pack):
    archive = zipped(pack)
    content = bytearray(archive.read_bytes())
    content[content.index(b"espnet_llmasr>=")] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="model.zip is broken .*download it again"):
        load(archive)
    assert not [*(pack.parent / "cache/models").iterdir()]
