"""The root of the command line: every failure ends as one line on stderr and an exit code, never a traceback.

Exit codes: 0 done, 1 failure, 2 misuse, 130 interrupted, 141 the reader of the output went away.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from hypergrad.errors import HypergradError, UnknownNameError, unknown_name

from . import interruption

COMPLETION = "_HYPERGRAD_COMPLETE"  # the variable by which a shell asks for completions
FAILURE, MISUSE, PIPE_CLOSED = 1, 2, 141


class Commands(click.Group):
    """A group whose errors are one sentence."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` name; an unknown one is misuse and suggests the nearest."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(str(unknown_name("command", args[0], self.list_commands(ctx))), ctx)
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit the process with its code."""
        if not standalone_mode or COMPLETION in os.environ:
            extra["windows_expand_args"] = windows_expand_args
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        arguments: list[str] = []
        try:
            if args is None:
                interruption.take()
            arguments += sys.argv[1:] if args is None else args
            for stream in (sys.stdout, sys.stderr):
                if hasattr(stream, "reconfigure"):
                    stream.reconfigure(errors="replace")
            with self.make_context("hypergrad", list(arguments), **extra) as ctx:
                self.invoke(ctx)
            flush()
            interruption.check()
            interruption.settled = True
        except BaseException as error:
            interruption.settled = True
            if isinstance(error, Exception) and debugging(arguments) and not interruption.heard:
                raise
            leave(KeyboardInterrupt() if interruption.heard else error, arguments)
        interruption.ignore()
        sys.exit(0)


def debugging(arguments: Sequence[str]) -> bool:
    """Whether ``--debug`` stands before the command's name."""
    leading = []
    for argument in arguments:
        if not argument.startswith("-"):
            break
        leading.append(argument)
    return "--debug" in leading


def leave(error: BaseException, arguments: Sequence[str]) -> NoReturn:
    """Say `error`, of a command with these arguments, in one line on stderr and exit with its code."""
    interruption.ignore()
    line, code = verdict(error, arguments)
    try:
        flush()
    except OSError as late:
        if not line:
            line, code = verdict(late, arguments)
    silence_stdout()
    if line:
        with contextlib.suppress(OSError):  # nobody listens on stderr either; the exit code still tells
            click.echo(" ".join(line.split()), err=True)
    sys.exit(code)


def verdict(error: BaseException, arguments: Sequence[str]) -> tuple[str, int]:
    """The line and the exit code of an error."""
    match error:
        case click.exceptions.Abort() | KeyboardInterrupt():
            return interruption.sentence(arguments), interruption.CODE
        case SystemExit():
            return "", error.code if isinstance(error.code, int) else FAILURE
        case click.exceptions.Exit():
            return "", error.exit_code
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "hypergrad"
            return f"error: {error.format_message().rstrip('.')} (see '{where} --help')", MISUSE
        case click.ClickException():
            return f"error: {error.format_message()}", error.exit_code
        case UnknownNameError():
            return f"error: {error}", MISUSE
        case HypergradError():
            return f"error: {error}", FAILURE
        case BrokenPipeError():
            return "", PIPE_CLOSED
        case OSError():
            subject = f"{error.filename}: " if error.filename else ""
            return f"error: {subject}{error.strerror or error}", FAILURE
        case MemoryError():
            return "error: out of memory; use fewer rows or columns", FAILURE
        case _:
            name = type(error).__name__
            return f"error: unexpected {name}: {error}; 'hypergrad --debug ...' shows where", FAILURE


def flush() -> None:
    """Write out what stdout holds; a process may have been started without one."""
    if sys.stdout is not None:
        sys.stdout.flush()


def silence_stdout() -> None:
    """Point the real stdout at the null device, so that the flush at exit cannot fail."""
    if sys.stdout is None:
        return
    null = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):  # a stdout without a file, as in tests, needs no silencing
        os.dup2(null, sys.stdout.fileno())
    os.close(null)


def print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print ``hypergrad VERSION`` and exit, for ``--version``."""
    if wanted and not ctx.resilient_parsing:
        click.echo(f"hypergrad {version()}")
        ctx.exit()


def version() -> str:
    """The version of the installed distribution."""
    from importlib import metadata

    return metadata.version("hypergrad-toolkit")


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Print the version and exit.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of a failure.")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Tune models with hypergradients: derivatives of the validation loss by the hyperparameters."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
