"""Every error that Heliograph raises on purpose.

The message is one clear sentence that says what was wrong and what to do; the command
line prints it as it is and exits with ``exit_code``. A traceback is a bug of ours.

    HeliographError
    ├── InputError          text or arguments that can't be used (exit 2)
    ├── MediaError          a file that can't be read as a picture, a sound or a film (exit 3)
    ├── WeightsError        a checkpoint directory that is missing, corrupt or doesn't fit (exit 4)
    ├── StoreError          the artifact store or a conversation can't be read or written (exit 5)
    │   └── ThreadBusy      another process is in the middle of a turn on this thread
    ├── MissingExtra        an optional dependency is not installed (exit 6)
    ├── ToolFailed          a tool refused its arguments or broke (exit 7)
    ├── DataError           a data set's file or row can't be used (exit 8)
    ├── TrainingError       a training can't start or go on: numbers, memory (exit 9)
    ├── TooLittleMemory     a core needs more memory than there is (exit 10)
    └── Cancelled           somebody asked for the work to stop (exit 130)
"""


class HeliographError(Exception):
    """Base of all errors above; catch it to catch them all."""

    exit_code = 1


class InputError(HeliographError):
    """Text or arguments can't be used."""

    exit_code = 2


class MediaError(HeliographError):
    """A file or bytes can't be read as a picture, a sound or a film."""

    exit_code = 3


class WeightsError(HeliographError):
    """A checkpoint directory is missing, corrupt, or its parts don't fit each other."""

    exit_code = 4


class StoreError(HeliographError):
    """The artifact store or a conversation can't be read or written."""

    exit_code = 5


class ThreadBusy(StoreError):
    """Another process is in the middle of a turn on the same thread."""


class MissingExtra(HeliographError):
    """An optional dependency is missing; the message names the extra that brings it."""

    exit_code = 6

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: run `pip install 'heliograph[{extra}]'`.")


class ToolFailed(HeliographError):
    """A tool refused its arguments or broke."""

    exit_code = 7


class DataError(HeliographError):
    """A data set's file or row can't be used."""

    exit_code = 8


class TrainingError(HeliographError):
    """A training can't start or go on."""

    exit_code = 9


class TooLittleMemory(HeliographError):
    """A core needs more memory than there is, as is found before it is loaded."""

    exit_code = 10


class Cancelled(HeliographError):
    """The caller asked for the work to stop."""

    exit_code = 130


def in_one_line(error: object, most: int | None = 300) -> str:
    """What a library said of something, as a part of one sentence: at most so many characters."""
    return " ".join(str(error).split())[:most]
