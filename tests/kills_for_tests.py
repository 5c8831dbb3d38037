"""Kills, again and again, on the commit of a file, until the work is done."""

import os

from genlat.runs.disk import files


class KilledError(Exception):
    """Stands for a kill: nothing in the program catches it."""


def through_kills(monkeypatch, attempt, n_files):
    """What `attempt()` returns in the end, and how often it was killed.

    `n_files(n_kills)` are committed before the next kill, which leaves half a file.
    """
    whole, left, n_kills = files.whole, 0, 0

    def cut(path):
        nonlocal left
        if left == 0:
            path.with_name(f".{path.name}.part").write_bytes(b"half of a file")
            raise KilledError
        left -= 1
        return whole(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "whole", cut)
        while True:
            left = n_files(n_kills)
            try:
                return attempt(), n_kills
            except KilledError:
                n_kills += 1
                assert n_kills < 60


FILE_EVENTS = ("mkdir", "fsync", "replace", "rename", "unlink", "rmdir")


def before_event(monkeypatch, number, work):
    """Do `work()`, killed before its file event `number`; whether it got so far."""
    left = number

    def cut(call):
        def event(*arguments, **options):
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            return call(*arguments, **options)

        return event

    with monkeypatch.context() as patch:
        for name in FILE_EVENTS:
            patch.setattr(os, name, cut(getattr(os, name)))
        try:
            work()
        except KilledError:
            return True
    return False
