"""A process that runs a study, for tests that kill it. Usage: child.py STORE TRIALS [MODE [ARGUMENT]]."""

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hypergrad.errors import StudyError
from hypergrad.samplers import Sampler
from hypergrad.samplers.base import Proposal, generator
from hypergrad.space import Categorical, Float, Int, Space
from hypergrad.study import Study
from hypergrad.study.store import Store

SPACE = Space(
    lr=Float(1e-4, 1.0, log=True),
    l2=Float(0.0, 1.0, shape=(3, 1)),
    opt={"steps": Int(5, 12), "kind": Categorical(["plain", "heavy", None])},
)


@dataclass(frozen=True)
class Climb(Sampler):
    """Steps from the best trial against its gradient, with noise; so a trial depends on all earlier bits."""

    rate: float = 0.05

    def ask(self, space, history, *, seed, number):
        noise = generator(seed, number).standard_normal(space.dimension)
        done = [r for r in history if r.state == "complete" and np.isfinite(r.value)]
        if not done:
            return Proposal(space.to_unit(space.defaults()), True, {"from": None})
        best = min(done, key=lambda r: (r.value, r.number))
        slope = np.zeros(space.dimension) if best.gradient is None else np.nan_to_num(best.gradient)
        unit = np.clip(best.unit - self.rate * slope / (np.linalg.norm(slope) + 1e-9) + 0.1 * noise, 0, 1)
        remembered = float(history[-1].note.get("size") or 0.0)
        return Proposal(unit, number % 3 != 2, {"from": best.number, "size": remembered + float(noise[0])})


def objective(hparams, tick=lambda: None):
    """A quadratic trained by gradient descent: its loss and derivatives; diverges now and then."""
    rng = np.random.default_rng(hparams["opt"]["steps"])
    matrix = rng.standard_normal((60, 60)) / 8
    w, dw = np.ones(60), np.zeros(60)
    for _ in range(hparams["opt"]["steps"]):
        gradient = matrix.T @ (matrix @ w) + hparams["l2"].sum() * w
        dw = dw - gradient - hparams["lr"] * (matrix.T @ (matrix @ dw) + hparams["l2"].sum() * dw)
        w = w - hparams["lr"] * gradient
        for _ in range(3):
            matrix = np.linalg.qr(matrix)[0] / 2 + matrix / 2
        tick()
    value = float(w @ w) + float(np.sum((hparams["l2"] - 0.3) ** 2))
    if hparams["opt"]["kind"] == "heavy" and hparams["lr"] > 0.5:
        value = float("inf")
    return value, {"lr": 2 * float(w @ dw), "l2": 2 * (hparams["l2"] - 0.3)}


def die():
    """End as by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_transaction(count, point):
    """Die in the `count`-th transaction of this process: "begun", "written" (uncommitted) or "committed"."""
    plain, seen = Store.transaction, [0]

    @contextmanager
    def transaction(self):
        seen[0] += 1
        mine = seen[0] == count
        with plain(self) as connection:
            if mine and point == "begun":
                die()
            yield connection
            if mine and point == "written":
                die()
        if mine and point == "committed":
            die()

    Store.transaction = transaction


def fork(study):
    """Ask in a forked child, print what it got, and go on in the parent."""
    trial = study.ask()
    if os.fork() == 0:
        try:
            study.ask()
            print("asked", flush=True)
        except StudyError as error:
            print(f"refused: {error}", flush=True)
        os._exit(0)
    os.wait()
    study.tell(trial, 1.0)


def main(store, trials, mode="run", argument="", name="killed"):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the parent ignores it

    def tick():
        print("tick", flush=True)

    def run(hparams):
        return objective(hparams, tick if mode == "ticks" else lambda: None)

    if mode == "transaction":
        count, point = argument.split(":")
        kill_at_transaction(int(count), point)
    if mode == "create":
        print("ready", flush=True)
        sys.stdin.readline()
        name = argument
    if mode == "hang":

        def run(hparams):
            print("running", flush=True)
            sys.stdin.readline()
            return 1.0

    study = Study(name, SPACE, Climb(), store=store, seed=7)
    if mode == "fork":
        fork(study)
    study.optimize(run, trials=int(trials))
    print(f"finished {study.finished}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
