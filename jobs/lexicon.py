"""Archive → a lexicon: the words of its training reports beside what an encoder says of a report.

python jobs/lexicon.py archive.manifest=… store=…
python jobs/embed.py   archive.manifest=… store=… encoder.name=lexical encoder.source=<what this job printed>
"""

from mcmfh.command import run_job
from mcmfh.config import Config
from mcmfh.pipeline.archive import read_archive


def main(config: Config) -> None:
    """Fit a lexicon on the training reports of the archive that archive.manifest lists, beside the encoder set."""
    from mcmfh.pipeline.lexicon import make_lexicon

    print(f"encoder.name=lexical encoder.source={make_lexicon(config, read_archive(config.archive))}")


if __name__ == "__main__":
    run_job(main)
