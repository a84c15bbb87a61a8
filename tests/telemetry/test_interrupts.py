import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import pytest

from telemetry import Observe
from telemetry import interrupts as interrupts_module
from telemetry.interrupts import Interrupted, Interrupts
from tests.signals import listening, put_back


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Installed handlers, taken out again."""
    with put_back():
        installed = Interrupts()
        installed.install()
        yield installed
        installed.acknowledge()


@contextmanager
def _heard_on_its_way(interrupts: Interrupts) -> Iterator[None]:
    try:
        yield
    except Interrupted:
        interrupts.acknowledge()
        raise


@contextmanager
def ends(interrupts: Interrupts) -> Iterator[pytest.ExceptionInfo[Interrupted]]:
    """The block ends with an Interrupted, which is acknowledged: the alarm must not go off in pytest."""
    with pytest.raises(Interrupted) as raised, _heard_on_its_way(interrupts):
        yield raised


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_raises_at_once(interrupts: Interrupts, number: int) -> None:
    with ends(interrupts) as raised:
        send(number)
    assert raised.value.signal_number == number


def test_signal_during_a_hold_is_raised_when_the_hold_ends(interrupts: Interrupts) -> None:
    seen: list[int] = []

    def work() -> None:
        with interrupts.hold():
            send(signal.SIGTERM)
            seen.append(interrupts.came)

    with ends(interrupts) as raised:
        work()
    assert seen == [signal.SIGTERM]
    assert raised.value.signal_number == signal.SIGTERM


def test_only_the_outermost_hold_raises(interrupts: Interrupts) -> None:
    places: list[str] = []

    def work() -> None:
        with interrupts.hold():
            with interrupts.hold():
                send(signal.SIGINT)
            places.append("after the inner one")

    with ends(interrupts):
        work()
    assert places == ["after the inner one"]


class Dying:
    """A signal comes while its destructor runs, which raises nothing."""

    def __del__(self) -> None:
        send(signal.SIGTERM)


def test_interrupt_swallowed_by_a_destructor_is_raised_again(
    interrupts: Interrupts, capfd: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        thing = Dying()
        del thing
        time.sleep(10)

    with ends(interrupts) as raised:
        work()
    assert raised.value.signal_number == signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_interrupt_swallowed_before_a_hold_is_raised_when_the_hold_ends(interrupts: Interrupts) -> None:
    seen: list[int] = []

    def work() -> None:
        thing = Dying()
        del thing
        with interrupts.hold():
            time.sleep(3 * interrupts_module._LOOK_SECONDS)
            seen.append(interrupts.came)

    with ends(interrupts):
        work()
    assert seen == [signal.SIGTERM]


def test_interrupt_swallowed_by_a_library_is_raised_again(interrupts: Interrupts) -> None:
    def library() -> None:
        with suppress(BaseException):
            send(signal.SIGINT)

    def work() -> None:
        library()
        time.sleep(10)

    with ends(interrupts):
        work()


def test_interrupt_is_not_raised_again_during_slow_cleanup(interrupts: Interrupts) -> None:
    ended: list[str] = []

    @contextmanager
    def closing() -> Iterator[None]:
        try:
            yield
        finally:
            time.sleep(3 * interrupts_module._LOOK_SECONDS)
            ended.append("within")

    def work() -> None:
        try:
            with closing():
                send(signal.SIGINT)
        except Interrupted:
            with suppress(ValueError):
                int("no number")
            time.sleep(3 * interrupts_module._LOOK_SECONDS)
            ended.append("without")
            raise

    with ends(interrupts):
        work()
    assert ended == ["within", "without"]


def test_acknowledged_interrupt_is_not_raised_again(interrupts: Interrupts) -> None:
    with ends(interrupts):
        send(signal.SIGINT)
    time.sleep(3 * interrupts_module._LOOK_SECONDS)


def test_end_of_the_outermost_span_acknowledges_the_interrupt() -> None:
    with listening() as observe:
        with pytest.raises(Interrupted), observe.span("step"):
            send(signal.SIGTERM)
        time.sleep(3 * interrupts_module._LOOK_SECONDS)


def test_other_destructor_errors_still_reach_the_unraisable_hook(
    monkeypatch: pytest.MonkeyPatch, interrupts: Interrupts
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_value))
    interrupts.install()

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("mine")

    thing = Faulty()
    del thing
    assert [str(error) for error in told] == ["mine"]


def test_error_inside_a_hold_takes_precedence_over_the_interrupt(interrupts: Interrupts) -> None:
    def work() -> None:
        with interrupts.hold():
            send(signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_second_signal_does_not_interrupt_the_cleanup(interrupts: Interrupts) -> None:
    ended: list[str] = []

    def work() -> None:
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGTERM)
            ended.append("in order")

    with pytest.raises(Interrupted) as raised:
        work()
    assert ended == ["in order"]
    assert raised.value.signal_number == signal.SIGINT


def test_much_later_second_signal_is_raised(interrupts: Interrupts, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        send(signal.SIGINT)
    monkeypatch.setattr(interrupts_module, "_DEAF_SECONDS", 0.0)
    with pytest.raises(Interrupted):
        send(signal.SIGTERM)


def test_without_a_signal_nothing_is_raised(interrupts: Interrupts) -> None:
    with interrupts.hold():
        pass
    interrupts.raise_if_any()
    assert interrupts.came == 0


def test_interrupted_is_not_a_subclass_of_exception() -> None:
    assert not issubclass(Interrupted, Exception)


def made_into(error: BaseException) -> None:
    """As code in C does it: the error that it raises instead knows nothing of the Interrupted."""
    try:
        send(signal.SIGINT)
    except Interrupted:
        raise error from None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("INTERNAL: Interrupted: ended by signal 2"),
        SystemError("<built-in function monotonic> returned a result with an exception set"),
    ],
)
def test_interrupt_turned_into_another_error_is_restored_at_the_span_end(error: Exception) -> None:
    with listening() as observe, pytest.raises(Interrupted) as raised, observe.span("step"), observe.span("train"):
        made_into(error)
    assert raised.value.signal_number == signal.SIGINT
    assert raised.value.__cause__ is error


def test_error_after_an_acknowledged_interrupt_is_raised_unchanged() -> None:
    with listening() as observe:
        with suppress(Interrupted), observe.span("step"):
            send(signal.SIGINT)
        with pytest.raises(ZeroDivisionError), observe.span("step"):
            raise ZeroDivisionError


def test_error_in_another_thread_is_not_replaced_by_the_interrupt() -> None:
    seen: list[BaseException] = []

    def work(observe: Observe) -> None:
        try:
            with observe.span("train"):
                raise ZeroDivisionError
        except BaseException as error:
            seen.append(error)

    def ended(observe: Observe) -> None:
        try:
            send(signal.SIGINT)
        finally:
            thread = threading.Thread(target=work, args=(observe,))
            thread.start()
            thread.join()

    with listening() as observe, pytest.raises(Interrupted), observe.span("step"):
        ended(observe)
    assert [type(error) for error in seen] == [ZeroDivisionError]


def test_generator_closed_during_an_interrupt_ends_normally() -> None:
    def rows(observe: Observe) -> Generator[int, None, None]:
        with observe.span("read"):
            yield 1
            yield 2

    def ended(reading: Generator[int, None, None]) -> None:
        try:
            send(signal.SIGINT)
        finally:
            reading.close()
            ways.append("closed")

    ways: list[str] = []
    with listening() as observe:
        reading = rows(observe)
        next(reading)
        with pytest.raises(Interrupted):
            ended(reading)
    assert ways == ["closed"]
