"""The Dockerfile, held against the project it installs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.infra.deploy.code import settings_from
from tests.infra.deploy.files import DEPLOY, ROOT

TEXT = (DEPLOY / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions(name: str) -> list[str]:
    """Arguments of an instruction, continued lines joined, without comments."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def test_hadolint_finds_nothing() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(tool), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_targets_come_from_the_same_stage() -> None:
    stages = dict(re.findall(r"^FROM (\S+) AS (\S+)$", TEXT, re.MULTILINE))
    targets = {target: source for source, target in re.findall(r"^FROM (\S+) AS (cpu|cuda)$", TEXT, re.MULTILINE)}
    assert targets == {"cpu": "runtime", "cuda": "runtime"}
    assert stages
    assert TEXT.rstrip().splitlines()[-2] == "FROM runtime AS cpu", "the default target is the last"


def test_everything_that_is_copied_exists_and_every_package_is_copied() -> None:
    sources = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert [name for name in sources if not (ROOT / name).exists()] == []
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(sources)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert [name for name in sources if f"!{name}" not in ignored] == []


def test_nobody_is_root() -> None:
    (user,) = instructions("USER")
    assert user == "10001:10001"
    assert TEXT.index("USER 10001") > TEXT.index("FROM base AS runtime")


def test_what_it_starts_and_sets_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert instructions("ENTRYPOINT") == ['["plaudit"]']
    assert "plaudit" in PROJECT["project"]["scripts"]
    assert set(re.findall(r"\.whl\)\[(\w+)\]", TEXT)) <= set(PROJECT["project"]["optional-dependencies"])
    variables = dict(re.findall(r"\b(PLAUDIT_\w+)=(\S+)", " ".join(instructions("ENV"))))
    settings = settings_from(variables, monkeypatch)
    assert str(settings.data_dir) == "/data"
    made = " ".join(instructions("RUN"))
    for folder in ("/data", "/cache", "/artifacts"):
        assert re.search(rf"install --directory --owner=10001 [^&]*{folder}", made), folder


def test_pip_knows_the_options_it_is_given() -> None:
    """`--build-constraint` came with pip 25.3; the image of Python 3.11 brings 24.0."""
    from packaging.version import Version

    (line,) = [line for line in instructions("RUN") if "--build-constraint" in line]
    found = re.search(r'pip install [^&]*"pip==(\S+)" && +pip wheel .*--build-constraint', line)
    assert found is not None, "pip is upgraded before the option is used"
    assert Version(found.group(1)) >= Version("25.3")
    assert f"pip=={found.group(1)}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_python_is_one_the_project_runs_on() -> None:
    from packaging.specifiers import SpecifierSet

    (version,) = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", TEXT, re.MULTILINE)
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)


def test_the_ports_are_those_of_the_processes() -> None:
    from tests.infra.deploy.files import of_kind, rendered

    ports = {str(port["port"]) for one in of_kind(rendered(), "Service").values() for port in one["spec"]["ports"]}
    assert set(instructions("EXPOSE")[0].split()) == ports
