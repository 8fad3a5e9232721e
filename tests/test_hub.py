"""Models and data by name: what is no name on the hub is refused at once, and a hub that does not answer is not waited
for.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import BAD_INPUT, run

from rcompile.train.export import check_source
from runtime.scoring import hub


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes connections and never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
    monkeypatch.setenv("no_proxy", "*")
    yield
    listener.close()


def test_a_hub_that_does_not_answer_is_asked_once(silent_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.OFFLINE, "")
    monkeypatch.delenv(hub.OFFLINE)
    start = time.monotonic()
    check_source("some-name")
    check_source("owner/some-name")
    assert time.monotonic() - start < 2
    assert hub.os.environ[hub.OFFLINE] == "1"


@pytest.mark.parametrize("setting", ["0", "1"])
def test_what_the_user_says_of_the_hub_stays(setting: str, silent_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub.OFFLINE, setting)
    hub.offline_unless_reachable()
    assert hub.os.environ[hub.OFFLINE] == setting


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("bert.onnx", "'bert.onnx' is ONNX already: compile it, `rcompile bert.onnx --target NAME`"),
        ("weights.bin", "'weights.bin' is a file. Give a directory"),
        ("./brt", "no such directory: './brt'"),
        ("brt/", "no such directory: 'brt/'"),
        ("/a/brt", "no such directory: '/a/brt'"),
        ("a/b/c", "no such directory: 'a/b/c'"),
        ("models/brt", "no such directory: 'models/brt'"),  # and not OWNER/NAME: models/ is here
    ],
)
def test_what_is_no_name_on_the_hub_is_refused_at_once(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("weights.bin").write_bytes(b"")
    monkeypatch.setattr("rcompile.train.export.offline_unless_reachable", lambda: pytest.fail("asked the hub"))
    check_source("models")
    result = run("export", source, "-o", "x.onnx")
    assert (result.exit_code, message in result.stderr) == (BAD_INPUT, True), result.stderr
