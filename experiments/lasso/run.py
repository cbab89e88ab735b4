"""Time the search for the penalties of lasso and elastic net next to scikit-learn's LassoCV and ElasticNetCV.

    python experiments/lasso/run.py                  both, seven repeats each; writes results.json
    python experiments/lasso/run.py --smoke          one repeat, lasso alone

Both sides get the same rows and folds, one process, one thread, one core, and take turns. Each found penalty is judged
by the same cross-validated error of exactly solved fits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RATIOS = [0.1, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0]


def measure(repeats: int, models: list[str], core: int) -> dict[str, Any]:
    """Times and what was found, in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    import numpy as np
    import scipy
    import sklearn
    from sklearn.datasets import make_regression
    from sklearn.linear_model import ElasticNetCV, LassoCV
    from sklearn.model_selection import KFold

    import hypergrad
    from hypergrad.tasks import ElasticNetCriterion, find_penalty

    warnings.simplefilter("ignore")  # coordinate descent on small penalties warns of its gap
    x, y = make_regression(500, 1000, noise=40, random_state=42)
    folds = KFold(5, shuffle=True, random_state=42)
    judge = ElasticNetCriterion(x, y, folds)

    def ours(model: str) -> tuple[float, float, int]:
        found = find_penalty(ElasticNetCriterion(x, y, folds), 1.0 if model == "lasso" else None)
        return found.alpha, found.l1_ratio, len(found.evaluations)

    def theirs(model: str) -> tuple[float, float, int]:
        if model == "lasso":
            peer = LassoCV(cv=folds, random_state=42).fit(x, y)
            return float(peer.alpha_), 1.0, peer.mse_path_.shape[0]
        peer = ElasticNetCV(cv=folds, l1_ratio=RATIOS, random_state=42).fit(x, y)
        return float(peer.alpha_), float(peer.l1_ratio_), int(np.prod(peer.mse_path_.shape[:-1]))

    results: dict[str, Any] = {}
    for model in models:
        sides = {"hypergrad": ours, "scikit-learn": theirs}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        found: dict[str, Any] = {}
        for side in sides.values():
            side(model)  # imports and caches
        for _ in range(repeats):
            for name, side in sides.items():
                began = time.perf_counter()
                alpha, ratio, points = side(model)
                seconds[name].append(time.perf_counter() - began)
                value = judge.evaluate(alpha, ratio).value
                found[name] = {"alpha": alpha, "l1_ratio": ratio, "points": points, "cv_mse": value}
        for name, times in seconds.items():
            found[name] |= {"seconds": times, "median_seconds": median(times)}
        found["excess"] = found["hypergrad"]["cv_mse"] / found["scikit-learn"]["cv_mse"] - 1.0
        found["speedup"] = found["scikit-learn"]["median_seconds"] / found["hypergrad"]["median_seconds"]
        results[model] = found
    versions = {m.__name__: m.__version__ for m in (hypergrad, np, scipy, sklearn)}
    return {
        "results": results,
        "versions": {"python": platform.python_version(), **versions},
        "machine": platform.machine(),
        "threads": 1,
        "repeats": repeats,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def main() -> int:
    """Run in a child process with one thread; print; return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description="Penalties of lasso and elastic net, next to scikit-learn.")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="one repeat, lasso alone; writes nothing")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = ["lasso"] if options.smoke else ["lasso", "elastic net"]
    repeats = 1 if options.smoke else options.repeats
    if options.child:
        print(json.dumps(measure(repeats, models, options.core)))
        return 0
    command = [sys.executable, __file__, "--child", "--repeats", str(repeats), "--core", str(options.core)]
    command += ["--smoke"] if options.smoke else []
    child = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if child.returncode:
        print(child.stderr, file=sys.stderr)
        return child.returncode
    record = json.loads(child.stdout)
    print(f"{'':12s} {'':13s} {'alpha':>9s} {'l1_ratio':>9s} {'CV-MSE':>10s} {'points':>7s} {'seconds':>9s}")
    kept = True
    for model, found in record["results"].items():
        for name in ("hypergrad", "scikit-learn"):
            f = found[name]
            print(
                f"{model:12s} {name:13s} {f['alpha']:9.4f} {f['l1_ratio']:9.3f} {f['cv_mse']:10.3f} "
                f"{f['points']:7d} {f['median_seconds']:9.3f}"
            )
        print(f"{'':12s} excess {found['excess']:+.1e}, {found['speedup']:.1f} times as fast")
        kept &= found["excess"] <= 1e-3 and (options.smoke or found["speedup"] > 1.0)
    print(record["versions"], "one thread")
    if not options.smoke:
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
