"""The command ``hypergrad``: parses, calls the package, prints. Installed as ``hypergrad_cli``."""

from . import interruption  # first, so that what follows can be interrupted
from .ask import ask, best, tell
from .grad import grad
from .group import main
from .insight import importance, slice_, why
from .run import new_experiment, run
from .show import show, studies
from .tune import tune

for command in (tune, grad, show, studies, ask, tell, best, importance, slice_, why, run, new_experiment):
    main.add_command(command)

__all__ = ["interruption", "main"]
