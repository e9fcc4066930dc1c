"""The page in headless Chromium: a file, a fake microphone, the keyboard, a phone, and axe-core."""

import importlib.util
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import soundfile

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream"),
    *("--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"),
)
KEEP_BLOBS = """
const make = URL.createObjectURL;
window.blobs = [];
URL.createObjectURL = (blob) => { window.blobs.push(blob); return make.call(URL, blob); };
"""
TEXTS = "Promise.all(window.blobs.slice(-2).map((blob) => blob.text())).then(arguments[0])"
ARROW_RIGHT, TAB, ENTER = "\ue014", "\ue004", "\ue007"
SEGMENT = {
    "start": 61.5, "flags": ["unsupported"], "gaps": [{"start": 62.0, "end": 62.5, "kind": "unwritten"}],
    "words": [
        {"word": "red", "start": 61.5, "end": 61.9, "confidence": 0.93},
        {"word": "<b>", "start": 62.6, "end": 62.9, "confidence": 0.2},
        {"word": "你", "start": 63.0, "end": 63.1, "confidence": None},
        {"word": "好", "start": 63.1, "end": 63.2, "confidence": 0.9},
    ],
}  # fmt: skip
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver is installed")


@pytest.fixture(scope="module")
def speech(long_file):
    """Of the upload and the microphone."""
    path = long_file.with_name("speech.wav")
    soundfile.write(path, *soundfile.read(long_file))
    return path


@pytest.fixture(scope="module")
def browser(speech):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--use-file-for-fake-audio-capture={speech}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, server):
    """(CSS selector) -> elements of the freshly opened page; `.wait(selector)`, `.run(script)`, `.keys(...)`."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    class Page:
        def __call__(self, selector):
            return browser.find_elements("css selector", selector)

        def wait(self, condition):
            return WebDriverWait(browser, 120).until(lambda _: condition())

        def run(self, script, *arguments):
            return browser.execute_script(script, *arguments)

        def keys(self, *keys):
            ActionChains(browser).send_keys(*keys).perform()

        @property
        def status(self):
            return self("#status")[0].text

    browser.set_window_size(900, 1000)
    browser.get(f"{server.url}/")
    found = Page()
    found.wait(lambda: "tiny" in found("#model")[0].text)
    yield found
    errors = [
        entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "415" not in entry["message"]
    ]
    assert not errors, errors


def shot(browser, name):
    """A screenshot for those who want to see one: SCREENSHOTS is a folder."""
    if os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(str(Path(os.environ["SCREENSHOTS"]) / f"{name}.png"))


def draw(page):
    """Shows SEGMENT as the server would send it, by a stand-in for fetch."""
    script = """
        const events = JSON.parse(arguments[0]).map((one) => `data: ${JSON.stringify(one)}\\n\\n`).join("");
        window.fetch = async () => new Response(new Blob([events]).stream());
        const file = new File([new Uint8Array(9)], "talk.wav"), given = new DataTransfer();
        given.items.add(file);
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: given, cancelable: true }));
    """
    done = {"type": "transcript.text.done", "text": "red", "srt": "1\n", "duration": 65.0}
    page.run(script, json.dumps([{"type": "transcript.text.delta", "segment": SEGMENT}, done]))
    page.wait(lambda: page.status.startswith("Done"))


def test_a_file(page, server, speech, browser):
    """Words that are those of the server, downloads, a word that plays."""
    page.run(KEEP_BLOBS)
    page("#file")[0].send_keys(str(speech))
    page("#go")[0].click()
    page.wait(lambda: page.status.startswith("Done"))
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    expected = server.post(files={"file": speech.read_bytes()}, data=form).json()
    words = page(".word")
    assert [word.text for word in words] == [word["word"] for word in expected["words"]]
    assert [float(word.get_attribute("data-start")) for word in words] == [word["start"] for word in expected["words"]]
    assert page("#title")[0].text == "Transcript of speech.wav" and not page("#downloads[hidden]")
    for name in ("srt", "text"):
        wanted = server.post(files={"file": speech.read_bytes()}, data={"response_format": name}).text
        assert wanted in browser.execute_async_script(TEXTS)
    assert page("#srt")[0].get_attribute("download") == "speech.srt"
    words[-1].click()
    start = float(words[-1].get_attribute("data-start"))
    page.wait(lambda: page.run("return document.getElementById('player').currentTime") >= start)
    shot(browser, "file")


def test_another_file_while_one_is_transcribed(page, speech, tmp_path):
    """The first run ends; its words, which come later, are not shown under the name of the second."""
    other = tmp_path / "other.wav"
    other.write_bytes(speech.read_bytes())
    page.run("""
        const fetched = window.fetch;
        window.fetch = (...all) => { window.fetch = fetched; return new Promise((_, fail) =>
            all[1].signal.addEventListener("abort", () => fail(all[1].signal.reason))); };
    """)
    page("#file")[0].send_keys(str(speech))
    page("#go")[0].click()
    page.wait(lambda: not page("#stop[hidden]"))
    page("#file")[0].send_keys(str(other))
    assert page("#stop[hidden]") and page("#result[hidden]") and page.status.startswith("other.wav")
    page("#go")[0].click()
    page.wait(lambda: page.status.startswith("Done"))
    assert page(".word") and not page("#downloads[hidden]")
    page("#file")[0].send_keys(str(speech))
    assert page("#result[hidden]")


def test_the_microphone(page, browser):
    page("#record")[0].click()
    page.wait(lambda: (found := re.search(r"(\d+):(\d\d)", page.status)) and found.groups() >= ("0", "02"))
    page("#record")[0].click()
    page.wait(lambda: page.status.startswith("Done"))
    assert 1.5 < page.run("return document.getElementById('player').duration") < 100 and page(".word")
    shot(browser, "microphone")


def test_words_confidences_and_doubts(page, browser):
    draw(page)
    assert [word.text for word in page(".word")] == ["red", "<b>", "你", "好"]
    labels = [word.get_attribute("aria-label") for word in page("#words button")]
    assert labels[0] == "red, 61.50 to 61.90 s, confidence 93 %" and "doubtful" in labels[2]
    assert labels[1].startswith("⚠ speech without words") and labels[3] == "你, 63.00 to 63.10 s"
    assert page(".segment.doubtful .flag")[0].text == "⚠ the audio does not support these words"
    assert page(".time")[0].text == "1:01" and page("#words")[0].text.endswith("你好")
    assert page(".low")[0].text == "<b>" and not page("#words b")
    shot(browser, "doubts")


def test_the_keyboard(page):
    """One stop for all words; the arrows move, Enter plays, and the times of the word are shown."""
    draw(page)
    page.run("document.getElementById('player').play = async () => { window.played = true; }")
    page.run("document.getElementById('player').focus()")
    for _ in range(20):
        page.keys(TAB)
        if page.run("return document.activeElement.className") == "word":
            break
    assert page.run("return document.activeElement.textContent") == "red"
    page.keys(ARROW_RIGHT, ARROW_RIGHT)
    assert page.run("return document.activeElement.textContent") == "<b>"
    assert page("#detail")[0].text == "<b>, 62.60 to 62.90 s, confidence 20 %, doubtful"
    page.keys(ENTER)
    assert page.run("return window.played")
    page.keys(TAB)
    assert page.run("return document.activeElement.id") == "srt"


def test_what_is_no_audio_is_refused_in_words(page, tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    page("#go")[0].click()
    assert page.status == "Choose or record something first."
    page("#file")[0].send_keys(str(tmp_path / "a.wav"))
    page("#go")[0].click()
    page.wait(lambda: page.status.startswith("Not transcribed"))
    assert "this is no audio that can be read here" in page.status and page("#status.error")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_axe_and_phones(scheme, width, page, browser):
    """No serious finding, and nothing wider than the window; light and dark."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    size = dict(width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    draw(page)
    page.run("document.getElementById('access').hidden = false")
    axe = Path(importlib.util.find_spec("axe_core_python").submodule_search_locations[0]) / "axe.min.js"
    browser.execute_script(axe.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert found["passes"] and not serious, json.dumps(serious, indent=1)[:3000]
    assert page.run("return document.documentElement.scrollWidth") <= width
    shot(browser, f"{scheme}_{width}")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
