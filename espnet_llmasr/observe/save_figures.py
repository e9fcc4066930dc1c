"""Draws and saves all of the paper's figures for which there are observations."""

import logging
from pathlib import Path
from typing import List, Optional, Sequence

import yaml

from espnet_llmasr.encoder_swap.rule import cka_log
from espnet_llmasr.observe import figures, plot_style
from espnet_llmasr.observe.figures import Series, differing, lines_of, pairs_of, read_series, split_pair


def check(compare: Sequence[str], pairs: Sequence[str]) -> None:
    """Raises ValueError for options that would stop `draw_all`, before hours of measuring."""
    plot_style.require_matplotlib()
    for spec in compare:
        _compared(spec)
    for spec in pairs:
        split_pair(spec)


def draw_all(out: Path, label: str, compare: Sequence[str], pairs: Sequence[str], exp: Optional[Path]) -> List[Path]:
    """Draws every figure that has data and logs what the others lack. Returns the files.

    Raises:
        ValueError: no observations in `out` or in a folder of --compare, or a wrong --pair.
    """
    series = [read_series(label, out), *map(_compared, compare)]
    if len({group.label for group in series}) < len(series):
        raise ValueError("--label and --compare give two series one label: choose another")
    if differing(series):
        logging.warning("not comparable: the observations were made with %s", differing(series))
    ends, lines = pairs_of(series, pairs), lines_of(series)
    on_path = [group for group in series if any(map(group.stage, figures.STAGE_NAMES))]
    files: List[Path] = []
    with plot_style.style():
        for name, lacking, drawn in (
            ("figure_1", "an encoder before and after joint SFT (or --pair)", ends and figures.before_and_after(ends)),
            ("figure_3", "encoders of the recipe's stages (--exp)", on_path and figures.trajectory(on_path)),
            ("figure_4", "any observation", lines and figures.layers(lines)),
            ("figure_5", "exp/encoders/cka.jsonl with a reference (--exp)", exp and _watched(exp)),
        ):
            if drawn:
                files += plot_style.save(drawn, out, name)
            else:
                logging.info("%s is not drawn: it needs %s", name, lacking)
    return files


def _compared(spec: str) -> Series:
    """LABEL=DIR. Raises ValueError for another form, or a folder without observations."""
    label, _, directory = spec.partition("=")
    if not (label and directory):
        raise ValueError(f"--compare {spec}: expected LABEL=DIR, such as characters=exp_char/observe")
    return read_series(label, Path(directory))


def _watched(exp: Path):
    """Figure 5 of an experiment; None if its watcher has compared nothing yet."""
    checks = cka_log(exp / "encoders").read()
    if not any(check.cka is not None for check in checks):
        return None
    options = yaml.safe_load((exp / "encoders" / "watch.yaml").read_text(encoding="utf-8"))
    return figures.reference_cka(checks, options["threshold"])
