"""Makes data/{train,valid,cka,test} from a folder of audio and a CSV file: docs/own_data.md."""

from pathlib import Path

from espnet_llmasr.cli import Parser, run
from espnet_llmasr.data.table import prepare_table


def main(argv=None) -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the audio")
    parser.add_argument("table", type=Path, help="CSV with audio,text and perhaps speaker,lang,set in its first line")
    parser.add_argument("out", type=Path, help="such as data")
    parser.add_argument("--prefix", default="own", help="begins all ids")
    parser.add_argument("--lang", default="", help="language of rows that have none (default: as the script tells)")
    args = parser.parse_args(argv)
    prepare_table(args.folder, args.table, args.out, args.prefix, args.lang)


if __name__ == "__main__":
    run(main)
