"""New virtual environments for tests of what is installed, without a registry.

Such an environment holds the dependencies of the one that the tests run in, as links, and nothing of meshproxy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.packaging.checkout import ROOT

_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", "*.egg-info", "build", "dist", "_trial_temp*", ".mypy_cache", "dropin.cache"
)
_SECONDS = 120


class Environment:
    """An environment in a temporary folder; ``away`` is a folder that has nothing to do with anything."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="meshproxy-install-"))
        self.away = self.folder / "away"
        self.away.mkdir()
        # Without a pip of its own: the one that is linked does as well, and saves seconds.
        venv.EnvBuilder(with_pip=False, symlinks=True).create(self.folder / "venv")
        self.bin = self.folder / "venv" / "bin"
        dependencies = self.folder / "dependencies"
        dependencies.mkdir()
        for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
            # A .pth is no use in a folder that is itself named by one.
            if "meshproxy" not in entry.name and entry.suffix != ".pth":
                (dependencies / entry.name).symlink_to(entry)
        self.site = Path(self.run(self.bin / "python", "-c", "import site; print(site.getsitepackages()[0])").strip())
        (self.site / "dependencies.pth").write_text(f"{dependencies}\n")
        # Scripts stand beside the Python that they were installed for.
        for name, call in (
            ("twistd", "twisted.scripts.twistd import run"),
            ("pip", "pip._internal.cli.main import main"),
        ):
            script = self.bin / name
            script.write_text(f"#!{self.bin / 'python'}\nfrom {call} as run\n\nraise SystemExit(run())\n")
            script.chmod(0o755)

    def remove(self) -> None:
        """Remove it from the disk."""
        shutil.rmtree(self.folder)

    def copy(self, source: Path = ROOT, name: str = "checkout") -> Path:
        """A copy of a project's files in the temporary folder, without what was built there."""
        return Path(shutil.copytree(source, self.folder / name, symlinks=True, ignore=_NOT_COPIED))

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables for commands; its programs come first."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        path = f"{self.bin}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}

    # As variables, so that commands of a page can be run as they stand.
    offline: Mapping[str, str] = MappingProxyType(
        {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_QUIET": "1"}
    )

    def run(self, *command: str | Path, cwd: Path | None = None, status: int = 0) -> str:
        """The output of a command, which runs away from everything else and has to end with this status."""
        done = subprocess.run(
            command,
            cwd=cwd or self.away,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != status:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def install(self, *what: str | Path) -> None:
        """``pip install``, from the disk only."""
        self.run(
            "env", *(f"{name}={value}" for name, value in self.offline.items()), self.bin / "pip", "install", *what
        )

    def uninstall(self, name: str) -> None:
        """``pip uninstall``."""
        self.run(self.bin / "pip", "uninstall", "-q", "-y", name)

    def build(self, kind: str, project: Path) -> Path:
        """Build an ``sdist`` or a ``wheel`` of a project with setuptools' own PEP 517 entry points."""
        folder = self.folder / f"{kind} of {project.name}"
        code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
        return folder / self.run(sys.executable, "-c", code, cwd=project).strip().splitlines()[-1]
