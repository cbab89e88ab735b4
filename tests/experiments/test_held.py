"""Ctrl-C waits where it would leave something half done."""

import signal

import pytest

from hypergrad.experiments.interruption import Held, unswallowed


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_it_waits_until_the_end():
    reached, woken = [], []

    def work():
        with Held(wake=lambda: woken.append(1)) as held:
            held.check()
            ctrl_c()
            reached.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == woken == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_acts_where_it_is_checked_or_let():
    with Held() as held:
        ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            held.check()
        with pytest.raises(KeyboardInterrupt):
            held.let(ctrl_c)
        held.check()
        ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            held.let(pytest.fail)


def test_it_replaces_an_error():
    def work():
        with Held():
            ctrl_c()
            raise ValueError

    with pytest.raises(KeyboardInterrupt):
        work()


def test_who_ignores_it_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Held() as held:
            ctrl_c()
            held.let(ctrl_c)
        assert unswallowed(lambda: ctrl_c() or 3) == 3
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def swallow():
    try:
        ctrl_c()
    except KeyboardInterrupt:
        return 3


def convert():
    try:
        ctrl_c()
    except KeyboardInterrupt:
        raise ValueError from None


@pytest.mark.parametrize("function", [ctrl_c, swallow, convert])
def test_one_that_is_swallowed_is_raised_again(function):
    with pytest.raises(KeyboardInterrupt):
        unswallowed(function)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert unswallowed(divmod, 7, 2) == (3, 1)
