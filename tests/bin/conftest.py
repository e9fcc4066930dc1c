import pytest


@pytest.fixture()
def mistake(command):
    """(module, arguments) -> the last line of a command that must end with exit code 1 and without a traceback."""

    def run(module, *arguments):
        done = command(module, *arguments)
        assert done.code == 1 and "usage:" not in done.err and "Traceback" not in done.err, done.err
        return done.err.strip().splitlines()[-1]

    return run
