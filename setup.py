"""Packaging of avbook: every setting stands in settings.ini, beside this file."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    keywords=cfg["keywords"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
    ],
    # said in so many words, an editable install is a folder on the path; otherwise it is a finder
    # that loses to a clone named avbook beside the script
    package_dir={"": "."},
    packages=find_packages(include=["avbook", "avbook.*"]),
    include_package_data=True,
    package_data={
        "avbook.features": ["*.safetensors"],
        "avbook.show": ["assets/*"],
        "avbook.show.explorers": ["js/*"],
    },
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={
        extra: cfg[f"{extra}_requirements"].split()
        for extra in ("ann", "clips", "dask", "ray", "dev")
    },
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
    },
    zip_safe=False,
)
