"""Cases of tests/crash in which nothing is killed, but something is short: disk, size of files, rights, solitude."""

from __future__ import annotations

import os
import random
import resource
import time

from cases import World, command, compile_to, contents, differing, evaluate, old_or_new, put_old, train, with_torch
from children import Child, Ended, Work, run
from command_line import BAD_INPUT, OK, USAGE, left_behind
from linux import be_nobody, in_container, mount_small_disk

PAGE_BYTES = 4096
HOLDS_FROM, MOST_SECONDS = 3, 60  # the change of a file from which on a compile has its lock


def full_disk(world: World, rng: random.Random) -> str:
    """Compile onto a disk of its own that may be too small."""
    force = rng.random() < 0.5
    size = sum(-(-len(data) // PAGE_BYTES) + 1 for data in contents(world.path("new.bundle")).values()) * PAGE_BYTES
    room = int(size * rng.uniform(0.1, 1.2)) + (size if force else 0)

    def work() -> None:
        world.said = world.path("inner")
        mount_small_disk(world.place, room)
        print(_short(world, force, command(*compile_to(world, put_old(world, force), force)), "the disk is full"))

    return world.done(work).stdout.strip()


def file_size(world: World, rng: random.Random) -> str:
    """Compile where no file may exceed a size."""
    force = rng.random() < 0.5
    limit = rng.randint(1, max(map(len, contents(world.path("new.bundle")).values())))
    compiling = command(*compile_to(world, put_old(world, force), force))
    return _short(world, force, limited(limit, compiling), "cannot write")


def _short(world: World, force: bool, compiling: Work, said: str) -> str:
    """Compile under a shortage: the new bundle, or else the old one or none, and no rest."""
    done = run(compiling, world.said)
    assert done.status == OK or (done.status == BAD_INPUT and said in done.stderr), done.stderr
    assert left_behind(world.place) == [], left_behind(world.place)
    found = old_or_new(world, world.place / "b")
    assert found == ("new" if done.status == OK else "old" if force else "none"), found
    return f"{'enough' if done.status == OK else 'refused'}{' --force' if force else ''}: {found}"


def train_file_size(world: World, rng: random.Random) -> str:
    """Train where no file may exceed a size; without a limit the same command goes on."""
    with_torch(world)
    out = world.place / "t"
    limit = rng.randint(1, 2 * max(map(len, contents(world.path("trained")).values())))
    done = run(limited(limit, train(world, out, False)), world.said)
    assert done.status == OK or (done.status == BAD_INPUT and "cannot write" in done.stderr), done.stderr
    if done.status != OK:
        world.done(train(world, out, False))
    assert (wrong := differing(out, world.path("trained"))) == [], wrong
    assert os.listdir(world.place) == ["t"], os.listdir(world.place)
    return "enough" if done.status == OK else "refused, and gone on with"


def limited(bytes_a_file: int, work: Work) -> Work:
    def within() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))
        work()

    return within


def read_only(world: World, rng: random.Random) -> str:
    """Another user, who may only read, checks and scores a bundle, and cannot compile beside it or over it."""
    out = put_old(world, True)
    world.place.chmod(0o555)
    before = contents(world.place)

    def ended(*arguments: object) -> Ended:
        def within() -> None:
            be_nobody(out / "manifest.json")
            command(*arguments)()

        return run(within, world.said)

    for name, force in (("b", True), ("b", False), ("other", False)):
        refused = ended(*compile_to(world, world.place / name, force))
        assert (refused.status, "cannot write" in refused.stderr) == (USAGE, True), refused.stderr
    for arguments in (["check", out], evaluate(world, "1", out)):
        done = ended(*arguments)
        assert done.status == OK, done.stderr
    assert contents(world.place) == before
    return "refused, and read"


def containers(world: World, rng: random.Random) -> str:
    """Two containers, process 1 in each, share a directory: the second compile is refused; once the first is killed,
    the next clears what it left.
    """
    out, force = put_old(world, rng.random() < 0.5), True
    reading, writing = os.pipe()

    def hold() -> None:
        os.write(writing, b".")
        time.sleep(MOST_SECONDS)

    def compiling() -> None:
        in_container(command(*compile_to(world, out, force)))

    at = rng.randint(HOLDS_FROM, world.usual["compile"].steps - 1)
    first = Child.start(compiling, world.path("inner"), at, hold)
    os.close(writing)
    assert os.read(reading, 1) == b".", first.end().stderr
    before = contents(world.place)
    second = run(compiling, world.said)
    assert (second.status, "another run is writing" in second.stderr) == (USAGE, True), second.stderr
    assert contents(world.place) == before
    os.kill(first.pid, 9)
    first.end()
    assert os.read(reading, 1) == b""  # process 1 of the container is dead, too
    os.close(reading)
    world.done(compiling)
    assert old_or_new(world, out) == "new"
    assert os.listdir(world.place) == ["b"], os.listdir(world.place)
    return "refused, then cleared"
