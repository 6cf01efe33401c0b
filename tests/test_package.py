"""The package as others get it: an sdist, a wheel made from it, both complete; installed apart from
this tree it works, starts fast and asks for what it needs."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from processes import ROOT

import avbook
from avbook.common.system import cache_folder

SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = SETTINGS["DEFAULT"]
EXTRAS = ("dev", "ann", "clips")


def run(*words, cwd, fails=False, **env) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert (done.returncode != 0) is fails, done.stdout[-3000:]
    return done.stdout


def copied_sources(folder: Path) -> Path:
    """A folder with what a package is built from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (
        "settings.ini",
        "setup.py",
        "README.md",
        "LICENSE",
        "MANIFEST.in",
        "CITATION.cff",
        "constraints.txt",
    ):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "avbook", folder / "avbook", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def environment(folder: Path, *what) -> Path:
    """The programs of a new virtual environment in which pip installed that, and of the
    surroundings what this one has."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    here = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    (Path(here.strip()) / "surroundings.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # paths alone: the editable avbook there is not followed
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", *what, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was made from the sdist."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    copied_sources(source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=source)
    return out


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The programs of an environment that has the wheel."""
    return environment(tmp_path_factory.mktemp("venv") / "venv", *built.glob("*.whl"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone under the name git gives it, `avbook`, in a folder of its own."""
    return copied_sources(tmp_path_factory.mktemp("work") / "avbook")


def test_sdist_and_wheel_hold_every_module_and_no_more(built):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "avbook").rglob("*.py")}
    modules.add("avbook/features/extractors.safetensors")
    for kind in ("html", "css", "js"):
        files = (ROOT / "avbook/show").rglob(f"*.{kind}")
        modules |= {path.relative_to(ROOT).as_posix() for path in files}
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {name for name in names if name.startswith("avbook/")} == modules
    assert {name.split("/")[0] for name in names} == {
        "avbook",
        f"avbook-{SETTINGS['version']}.dist-info",
    }
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
    assert (
        modules | {"settings.ini", "setup.py", "README.md", "LICENSE", "constraints.txt"} <= inside
    )


def test_the_wheel_asks_for_what_the_settings_say(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        told = wheel.read(f"avbook-{SETTINGS['version']}.dist-info/METADATA").decode()
    asked = [Requirement(line) for line in re.findall(r"^Requires-Dist: (.+)$", told, flags=re.M)]
    always = {r.name for r in asked if r.marker is None}
    assert always == {Requirement(word).name for word in SETTINGS["requirements"].split()}
    for extra in EXTRAS:
        of = {
            r.name
            for r in asked
            if r.marker is not None and r.marker.evaluate({**default_environment(), "extra": extra})
        }
        assert of == {
            Requirement(word).name for word in SETTINGS[f"{extra}_requirements"].split()
        }, extra
    assert (
        SETTINGS["description"] in told
        and "License-Expression: Apache-2.0" in told
        or "License: Apache-2.0" in told
    )


def test_the_constraints_pin_a_version_that_every_requirement_allows():
    pins = [
        Requirement(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    for word in " ".join(
        SETTINGS[key] for key in ("requirements", *(f"{extra}_requirements" for extra in EXTRAS))
    ).split():
        wanted = Requirement(word)
        fitting = [pin for pin in pins if pin.name == wanted.name]
        assert fitting, f"{wanted.name} is not in constraints.txt"
        for pin in fitting:
            assert wanted.specifier.contains(next(iter(pin.specifier)).version), (
                f"{pin} is not {wanted}"
            )


def test_the_installed_package_is_the_wheel_and_works(installed, tmp_path):
    where = run(
        installed / "python",
        "-c",
        "import avbook, avbook.experiments.recipe; print(avbook.__file__, avbook.__version__)",
        cwd=tmp_path,
    )
    assert str(installed.parent) in where and SETTINGS["version"] in where
    assert "psp-full" in run(installed / "avbook", "recipes", cwd=tmp_path)
    said = run(
        installed / "avbook",
        "run",
        "psp-full",
        "--data",
        "world:tiny",
        "--set",
        "epochs=1",
        "--jobs",
        "1",
        cwd=tmp_path,
    )
    assert "val_selected" in said and len(list(tmp_path.glob("runs/psp-full/*/seed-0.json"))) == 1


def test_the_names_at_the_top_are_those_of_their_modules_and_told_to_type_checkers():
    tree = ast.parse((ROOT / "avbook" / "__init__.py").read_text(encoding="utf-8"))
    told = {
        (entry.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for entry in block.body
        if isinstance(entry, ast.ImportFrom)
        for alias in entry.names
    }
    homes = {(f"avbook.{home}", name) for name, home in avbook._HOME.items()}
    assert told == homes
    for home, name in homes:
        assert getattr(avbook, name) is getattr(import_module(home), name)
        assert home == "avbook.errors" or name in import_module(home).__all__
    road = {"extract_folder", "label_folder", "load_model", "read_model", "export_model"}
    assert road | {"video_timelines", "folder_timelines", "ZeroShot"} <= set(dir(avbook))


BESIDE = "from avbook import PSP, __file__ as here\nprint(here)\n"


def test_a_script_beside_a_clone_finds_the_wheel(installed, clone):
    (clone.parent / "mine.py").write_text(BESIDE)
    assert str(installed.parent) in run(installed / "python", "mine.py", cwd=clone.parent)


def test_a_script_beside_a_clone_finds_what_was_installed_from_it(clone, tmp_path):
    programs = environment(tmp_path / "venv", "--editable", clone)
    (clone.parent / "mine.py").write_text(BESIDE)
    for words in (["mine.py"], ["-c", BESIDE]):
        said = run(programs / "python", *words, cwd=clone.parent)
        assert said.strip() == str(clone / "avbook" / "__init__.py")
    assert "psp-full" in run(programs / "python", "-m", "avbook", "recipes", cwd=clone.parent)


PAGE = "nbs/2_supervised/05_results.ipynb"


def test_a_page_outside_a_clone_says_where_it_belongs(installed, tmp_path):
    sources = []
    for cell in json.loads((ROOT / PAGE).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            sources.append("".join(cell["source"]))
            if "Records(" in sources[-1]:
                break
    (tmp_path / "page.py").write_text("\n".join(sources).replace("style();", ""))
    last = run(installed / "python", "page.py", cwd=tmp_path, fails=True).splitlines()[-1]
    assert "AvbookError" in last and "git clone" in last and str(tmp_path) in last


# a home and its caches that cannot be made, not even by root, and no way to another machine
NOWHERE = {
    **dict.fromkeys(
        ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "HF_HOME"),
        "/dev/null/nowhere",
    ),
    **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    "AVBOOK_CACHE": "",
}
RUN = ("run", "psp-full", "--data", "world:tiny", "--epochs", "1", "--jobs", "1")


@pytest.mark.skipif(os.name != "posix", reason="homes are found elsewhere on other systems")
def test_without_a_home_one_line_asks_for_a_cache(installed, tmp_path):
    said = run(installed / "avbook", *RUN, cwd=tmp_path, fails=True, **NOWHERE).strip()
    assert "\n" not in said and "set AVBOOK_CACHE to a folder that can be written" in said


@pytest.mark.skipif(os.name != "posix", reason="homes are found elsewhere on other systems")
def test_with_a_cache_no_home_and_no_network_are_needed(installed, tmp_path):
    there = {**NOWHERE, "AVBOOK_CACHE": str(cache_folder())}
    assert "val_selected" in run(installed / "avbook", *RUN, cwd=tmp_path, **there)
    assert run(installed / "python", "-c", DRAWN, cwd=tmp_path, **there).strip().endswith("drawn")


DRAWN = """if True:
    import matplotlib
    matplotlib.use("Agg")
    from avbook.show.plots import similarity_map
    similarity_map([[0.5, 0.5], [0.0, 1.0]]).figure.savefig("map.png")
    print("drawn")"""


def test_importing_and_asking_for_help_is_light(installed, tmp_path):
    code = """if True:
        import sys
        import avbook
        if sys.argv[1:]:
            from avbook.cli import app
            try: app(["--help"])
            except SystemExit: pass
        slow = {"torch", "matplotlib", "pandas", "scipy", "sklearn", "seaborn", "ipywidgets"}
        print("HEAVY", sorted(slow & set(sys.modules)))"""
    for words in ([], ["help"]):
        assert (
            run(installed / "python", "-c", code, *words, cwd=tmp_path).splitlines()[-1]
            == "HEAVY []"
        )


def test_training_needs_no_drawing(installed, tmp_path):
    told = run(
        installed / "python",
        "-c",
        "import sys, avbook.experiments.recipe, avbook.training.loop, avbook.supervised.psp,"
        " avbook.parsing.ma; print(sorted({'matplotlib', 'seaborn', 'ipywidgets', 'nbdev',"
        " 'fastcore', 'IPython'} & set(sys.modules)))",
        cwd=tmp_path,
    )
    assert told.strip() == "[]"


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_packages_are_compiled_once_where_a_machine_forbids_it():
    said = run(
        "make",
        "--silent",
        "--eval",
        "told: ; @echo [$$PYTHONDONTWRITEBYTECODE]",
        "told",
        cwd=ROOT,
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert said.strip() == "[]"
