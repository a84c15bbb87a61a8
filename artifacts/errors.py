"""Errors that a program tells in one line without a traceback, and their exit codes; 2 is a wrong configuration."""

from __future__ import annotations

EXIT_ERROR = 1  # found while running
EXIT_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h: the same command later


class UserError(Exception):
    """An error that the user can repair: one line that names the file, row or parameter and the remedy."""

    def __init__(self, message: str, exit_code: int = EXIT_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class TemporaryError(Exception):
    """An error that can pass (tracking server, disk lock): the only kind that `retries` repeats."""
