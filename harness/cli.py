"""The command `drill`: everything that is not a scenario.

Here belong the argument parser and printing. What the commands do is elsewhere; scenarios are run by pytest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from harness.core.errors import ExitCode, HarnessError

_EPILOG = """Scenarios are run by pytest: `pytest scenarios`, `pytest scenarios -k cluster_loss`, or `nox -s dr-drill`.

exit codes: 0 good; 1 a promise was broken; 2 interrupted; 4 bad usage (option, scenario, repository); 5 no scenario
selected; 11 harness or environment trouble (nothing is proved); 12 refused for safety."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says which class of thing went wrong."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    action: Callable[[argparse.Namespace], int] = arguments.action
    try:
        return action(arguments)
    except HarnessError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]  # a tool may have said much
        sys.stderr.write(f"drill: {'; '.join(lines).replace(':; ', ': ')}\n")
        return int(error.exit_code)
    except OSError as error:  # a folder that may not be written, a full disk: trouble of this machine, never a verdict
        sys.stderr.write(f"drill: expected to read and write files; found {error}; mend that and try again\n")
        return int(ExitCode.ENVIRONMENT)
    except KeyboardInterrupt:
        sys.stderr.write("drill: interrupted\n")
        return int(ExitCode.INTERRUPTED)


class _Parser(argparse.ArgumentParser):
    """argparse ends with 2 on bad usage, which among our exit codes (pytest's) means interrupted."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(int(ExitCode.USAGE), f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="drill",
        description="Would Git really bring this cluster back?",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(action=action)
        return made

    command("doctor", _doctor, "say what this machine has, what it lacks, and the command that mends it")
    command("provision", _provision, "install and start a Docker engine where none answers (root, Debian or Ubuntu)")
    images = command("images", _images, "prepare the images that drills need")
    images.add_argument("--images", default="auto", help="auto, pull, build or bundle (default: auto)")
    images.add_argument(
        "verb",
        nargs="?",
        choices=["prepare", "pin"],
        default="prepare",
        help="prepare (default), or pin: write the digests of the official images into fixtures/images/pins.yaml",
    )
    command("clean", _clean, "remove what runs that are gone have left behind; nothing else")
    bundle = command("bundle", _bundle, "one file with every image, for machines without a registry")
    bundle.add_argument("verb", choices=["create", "load"])
    bundle.add_argument("file", type=Path)
    bundle.add_argument("--images", default="auto", help="source of the images of a new bundle: auto, pull or build")
    report = command("report", _report, "render the reports of a stored run again")
    report.add_argument("run", type=Path, help="a run folder, such as reports/latest")
    judge = command("judge", _judge, "judge a stored run again with today's checks, without a cluster")
    judge.add_argument("run", type=Path, help="a run folder, such as reports/latest")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)


def _doctor(_: argparse.Namespace) -> int:
    from harness.cluster.host import Status, checks, render

    found = checks()
    _say(render(found))
    return int(ExitCode.OK if all(c.status is not Status.MISSING for c in found) else ExitCode.ENVIRONMENT)


def _provision(_: argparse.Namespace) -> int:
    from harness.cluster.provision import provision

    provision(_say)
    return int(ExitCode.OK)


def _images(arguments: argparse.Namespace) -> int:
    from harness.cluster.images import DockerEngine, ImageSource, cache_folder, pin_images, prepare

    if arguments.verb == "pin":
        pinned = pin_images(DockerEngine(), _say)
        for name, digest in pinned.items():
            _say(f"pinned {name}: {digest}")
        _say(f"{len(pinned)} digests are new; review them before you commit")
        return int(ExitCode.OK)
    found = prepare(ImageSource.named(arguments.images), cache=cache_folder(), progress=_say)
    for key, value in found.describe().items():
        _say(f"{key}: {value}")
    return int(ExitCode.OK)


def _clean(_: argparse.Namespace) -> int:
    from harness.cluster.clean import clean
    from harness.cluster.docker import Docker

    removed = clean(Docker.connect(), kept=True, on_removed=lambda thing: _say(f"removed {thing}"))
    _say(f"{len(removed)} removed")
    return int(ExitCode.OK)


def _bundle(arguments: argparse.Namespace) -> int:
    from harness.cluster.images import ImageSource, cache_folder, create_bundle, load_bundle, prepare

    if arguments.verb == "load":
        load_bundle(arguments.file, cache_folder(), progress=_say)
        _say(f"loaded {arguments.file}")
    else:
        images = prepare(ImageSource.named(arguments.images), cache=cache_folder(), progress=_say)
        _say(f"sha256 {create_bundle(arguments.file, images, progress=_say)}  {arguments.file}")
    return int(ExitCode.OK)


def _report(arguments: argparse.Namespace) -> int:
    from harness.reporting import write_reports

    summary = write_reports(arguments.run)
    _say(summary.table)
    _say(f"report: {summary.page}")
    return int(ExitCode.OK)


def _judge(arguments: argparse.Namespace) -> int:
    from harness.core.verdict import Verdict
    from harness.rejudging import rejudge

    judged = rejudge(arguments.run)
    _say(judged.text())
    by_verdict = {Verdict.HELD: ExitCode.OK, Verdict.REFUTED: ExitCode.PROMISE_BROKEN}
    return int(by_verdict.get(judged.run.verdict, ExitCode.ENVIRONMENT))
