"""The command line; `firesteel --help` names the commands."""

from firesteel.cli.app import main

__all__ = ["main"]
