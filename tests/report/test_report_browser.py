"""The report in headless Chromium, as wide as a phone."""

import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from espnet_llmasr.bin import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0"),
)
PHONE = """<!DOCTYPE html><meta charset="utf-8"><title>not measured</title>
<iframe style="width: 360px; height: 740px; border: 0" onload="measure(this.contentDocument)" srcdoc="{}"></iframe>
<script>
function measure(page) {
  const root = page.documentElement, all = (what) => [...page.querySelectorAll(what)];
  const outside = all("body *").filter((one) => !one.closest(".box"));
  const wide = outside.filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1);
  const boxes = all(".box").filter((one) => one.scrollWidth > one.clientWidth);
  document.title = [root.clientWidth, root.scrollWidth, wide.length, boxes.length].join(" ");
}
</script>"""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def browse(page: Path, user_data: Path) -> subprocess.CompletedProcess:
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={user_data}", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


@pytest.fixture(scope="module")
def page(exp, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "page.html"
    report.main(["--expdir", str(exp), "--out", str(path)])
    return path


def test_no_error_in_the_console(page, tmp_path):
    done = browse(page, tmp_path)
    assert done.returncode == 0 and "<h2>Examples</h2>" in done.stdout
    assert "CONSOLE" not in done.stderr, done.stderr[-3000:]


def test_fits_a_phone(page, tmp_path):
    """Only the boxes of tables and figures scroll sideways."""
    phone = page.with_name("phone.html")
    phone.write_text(PHONE.replace("{}", escape(page.read_text(encoding="utf-8")), 1), encoding="utf-8")
    done = browse(phone, tmp_path)
    width, scroll_width, wide, boxes = map(float, re.search(r"<title>([^<]*)", done.stdout)[1].split())
    assert 330 < width <= 360 and scroll_width <= 360 and wide == 0
    assert boxes > 3
