"""Builds the site of the documents: python local/build_site.py   (make site)

Every Markdown file is a page as it stands, in the folder that it has here, so its links work in both places; api/ has a
page of docstrings for each package, in that of bin the --help of each command. zensical.toml holds the navigation. Warnings and dead links end in exit code 1.
"""

import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Dict, List, Set
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
API = """# espnet_llmasr.{name}

::: espnet_llmasr.{name}
    options:
      show_submodules: true
      heading_level: 2
"""


COMMAND = """
## {name}

```text
{help}```
"""


def tracked(pattern: str) -> List[Path]:
    """Files of the repository, relative to it."""
    done = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in done.stdout.split()]


def write_pages(pages: Path) -> None:
    """Fills an empty folder with all Markdown files, the files that they link, and a page for each package."""
    documents = {ROOT / name for name in tracked("*.md")}
    links = {
        Path(os.path.normpath(file.parent / name))
        for file in documents
        for name in LINK.findall(file.read_text("utf-8"))
    }
    for file in sorted(documents | {link for link in links if link.is_file()}):
        target = pages / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    for name in packages():
        (pages / "api").mkdir(exist_ok=True)
        content = commands() if name == "bin" else API.format(name=name)
        (pages / "api" / f"{name}.md").write_text(content, "utf-8")


def packages() -> List[str]:
    """The packages and modules of espnet_llmasr."""
    modules = (path for path in tracked("espnet_llmasr/*.py") if not path.stem.startswith("_"))
    return sorted({path.parts[1].removesuffix(".py") for path in modules})


def commands() -> str:
    """The page of bin."""
    os.environ["COLUMNS"] = "100"
    names = sorted(path.stem for path in tracked("espnet_llmasr/bin/[a-z]*.py"))
    sections = [COMMAND.format(name=name, help=help_of(name)) for name in names]
    return "# espnet_llmasr.bin\n\n`python -m espnet_llmasr.bin.COMMAND`, with these options:\n" + "".join(sections)


def help_of(name: str) -> str:
    """What a command prints with --help; in this process, as most of the time goes into imports."""
    sys.argv[0] = f"{name}.py"  # of which a parser takes the name
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        importlib.import_module(f"espnet_llmasr.bin.{name}").main(["--help"])
    return printed.getvalue().replace(f"{ROOT}/", "")


class Page(HTMLParser):
    """`targets`: what a page links or loads; `loaded`: what a browser loads with it; `anchors`: its ids."""

    def __init__(self, file: Path):
        super().__init__()
        self.targets: Set[str] = set()
        self.loaded: Set[str] = set()
        self.anchors: Set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values["id"]} if values.get("id") else set()
        targets = {value for name in ("href", "src") if (value := values.get(name))}
        self.targets |= targets
        self.loaded |= targets if tag in ("link", "script", "img") else set()


def dead_links(site: Path) -> List[str]:
    """Every link within the site that leads nowhere, as "page: target"."""
    files = (file for file in sorted(site.resolve().rglob("*.html")) if file.name != "404.html")
    pages: Dict[Path, Page] = {file: Page(file) for file in files}
    return [
        f"{file.relative_to(site.resolve())}: {target}"
        for file, page in pages.items()
        for target in sorted(page.targets)
        if not leads_somewhere(target, file, pages)
    ]


def leads_somewhere(target: str, file: Path, pages: Dict[Path, Page]) -> bool:
    """True for an address elsewhere, and for a file (and an anchor in it) of the site."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return True
    found = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    found = found / "index.html" if found.is_dir() else found
    anchor = unquote(parts.fragment)
    return found.is_file() and (not anchor or found not in pages or anchor in pages[found].anchors)


def main() -> None:
    site, pages = ROOT / "build/site", ROOT / "build/pages"
    for folder in (site, pages):
        shutil.rmtree(folder, ignore_errors=True)
    pages.mkdir(parents=True)
    write_pages(pages)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # of no_html
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    warnings = [line for line in done.stdout.splitlines() if line.startswith("griffe:")]  # strict does not count them
    if done.returncode or warnings:
        sys.exit(done.stdout)
    if dead := dead_links(site):
        sys.exit("dead links:\n" + "\n".join(dead))
    print(site)


if __name__ == "__main__":
    main()
