"""Shows which corpora of a mixture are here and which are missing, and lists the jobs that prepare them.

    LIBRISPEECH=/corpora/LibriSpeech python -m espnet_llmasr.bin.plan_corpora local/corpora.yaml --jobs jobs.tsv

Each job is a line: list, name of the data directory, corpus, part, folder, options of bin.prepare_corpus. See
espnet_llmasr/data/mixture.py for the YAML file.
"""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.data.mixture import jobs, mark_missing_parts, read_mixture, report
from espnet_llmasr.files import write_atomically


def main(argv=None) -> None:
    parser = Parser(description="Show which corpora of a mixture are here, and list the jobs that prepare them.")
    parser.add_argument("mixture", type=Path, help="YAML file")
    parser.add_argument("--jobs", type=Path, help="file to write the jobs to")
    args = parser.parse_args(argv)
    mixture = read_mixture(args.mixture)
    for rows in mixture.values():
        mark_missing_parts(rows)
    print(report(mixture), flush=True)
    if args.jobs:
        write_atomically(args.jobs, "".join(f"{line}\n" for line in jobs(mixture)))


if __name__ == "__main__":
    run(main)
