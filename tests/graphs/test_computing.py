"""The one thread in which cores compute."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path

import pytest

from heliograph.agent import Assistant, Settings
from heliograph.agent.testing import Say, ScriptedCore
from heliograph.graphs.computing import computed
from heliograph.model.errors import InputError


def test_whoever_asks_one_thread_computes() -> None:
    with ThreadPoolExecutor(4) as callers:
        threads = set(callers.map(lambda _: computed(threading.get_ident), range(16)))
    assert len(threads) == 1
    assert threads.isdisjoint({threading.get_ident()})


def test_what_is_raised_comes_back() -> None:
    def refuse() -> None:
        raise InputError("No.")

    with pytest.raises(InputError, match=r"No\."):
        computed(refuse)


def test_the_callers_context_is_seen() -> None:
    colour: ContextVar[str] = ContextVar("colour", default="none")
    colour.set("blue")
    assert computed(colour.get) == "blue"


def test_turns_generate_and_decode_in_it(tmp_path: Path) -> None:
    seen: list[int] = []

    class Core(ScriptedCore):
        def generate(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            for event in super().generate(*args, **kwargs):
                seen.append(threading.get_ident())
                yield event

        def decoder(self, modality):  # type: ignore[no-untyped-def]
            seen.append(threading.get_ident())
            return super().decoder(modality)

    core = Core([Say("image", "a dog")])
    Assistant(Settings(home=tmp_path), core=core).invoke("Draw a dog.")
    assert set(seen) == {computed(threading.get_ident)}


def test_a_turn_that_waits_for_another_machine_holds_up_no_other(tmp_path: Path) -> None:
    asked, answered = threading.Event(), threading.Event()

    class Slow(ScriptedCore):
        remote = True

        def generate(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            asked.set()
            assert answered.wait(20)
            yield from super().generate(*args, **kwargs)

    assistant = Assistant(Settings(home=tmp_path), core=Slow(["Hello."]))
    with ThreadPoolExecutor(1) as caller:
        turn = caller.submit(assistant.invoke, "Hello?")
        assert asked.wait(20)
        assert computed(lambda: "meanwhile") == "meanwhile"
        answered.set()
        assert turn.result(20).text == "Hello."
