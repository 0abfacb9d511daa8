"""What is printed can be read line by line, and an error always brings its remedy."""

from __future__ import annotations

import io
import time
from threading import Thread

from onebox.errors import OneboxError
from onebox.progress import Progress


class Slow(io.StringIO):
    """Lets other threads run at each write, as a terminal does."""

    def write(self, text: str) -> int:
        time.sleep(0.0001)
        return super().write(text)


def test_every_line_of_a_text_carries_its_subject() -> None:
    output = io.StringIO()
    Progress(output).about("etcd")("first\nsecond")
    assert [line.split()[-2:] for line in output.getvalue().splitlines()] == [
        ["etcd", "first"],
        ["etcd", "second"],
    ]


def test_steps_that_speak_at_once_do_not_mix_their_texts() -> None:
    output = Slow()
    progress = Progress(output)

    def speak(name: str) -> None:
        for _ in range(10):
            progress.say(name, f"{name} one\n{name} two")

    threads = [Thread(target=speak, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [line.split()[-3:] for line in output.getvalue().splitlines()]
    assert len(said) == 60
    for first, second in zip(said[::2], said[1::2], strict=True):
        assert first == [first[0], first[0], "one"]
        assert second == [first[0], first[0], "two"]


def test_an_error_always_shows_its_remedy() -> None:
    error = OneboxError("the disk is full", "free some")
    assert str(error) == "the disk is full\n  remedy: free some"
    assert str(OneboxError("stopped")) == "stopped"
