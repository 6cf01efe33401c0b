"""What is attacked: each command and loader with a valid input, and what must hold where a spoilt
one is accepted."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mutated_arrays import MARK, mutate_weights, save_pt
from mutations import mutate_bytes, mutate_folder
from tiny import Net
from valid_inputs import DATA_OF, QUICK, SMALL, fit_tiny, run_words
from watchdog import RIGHT, Outcome, command, note, refusal, told, tried, worst

# names that files have while they are being written
UNFINISHED = re.compile(r"\.[0-9a-f]{8}\..+|\..+\.partial|.+\.tmp")
# no world is built: a cache that cannot be made is refused
ENVIRONMENT = {"AVBOOK_CACHE": "/dev/null/none", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Target:
    """A command or a loader: the input that is spoilt, and the call."""

    name: str
    given: str  # one of `valid_inputs.INPUTS`, copied to CASE/in
    files: tuple[str, ...]  # of it that may be changed
    # (the case's folder, the folder of valid inputs, chance): what came of it
    call: Callable[[Path, Path, random.Random], Outcome]
    share: float = 1.0  # of the inputs, relative to the others


def examine(target: Target, case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """What came of one spoilt input."""
    what = ""
    if target.files:
        what = mutate_folder(case / "in", list(target.files), rng)
        note(what)
    found = target.call(case, inputs, rng)
    if (case / "in" / MARK).exists() or (case / MARK).exists():
        found = worst(found, Outcome("silent", "a pickle was read and its code was run"))
    left = sorted(p.name for p in case.rglob("*") if UNFINISHED.fullmatch(p.name))
    # a pack that was cut off is gone on with, from OUT.partial
    if left := [name for name in left if not name.endswith(".pack.partial")]:
        found = worst(found, Outcome("leftover", f"left behind: {', '.join(left[:3])}"))
    return found


def accepted(found: Outcome, value, check: Callable[[object], str]) -> Outcome:
    """The outcome, or "silent" where what was accepted is not as it must be. Reading may refuse
    what opening has not seen."""
    if found.kind != "accepted":
        return found
    later, wrong = tried(check, value)
    if later.kind != "accepted":
        return later
    return Outcome("silent", wrong) if wrong else found


# --------------------------------------------------------------------------------- what must hold
def not_finite(tensors: dict, where: str) -> str:
    """The first of the tensors that holds NaN or infinity, in words."""
    for name, tensor in tensors.items():
        tensor = torch.as_tensor(tensor)
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return f"{where}: {name} is not finite"
    return ""


def wrong_in_data(data) -> str:
    """What a data set hands out that is not finite or no label."""
    for name in ("train", "val", "test"):
        split = getattr(data, name)
        batch = split.batch(slice(None))
        if wrong := not_finite(batch, name):
            return wrong
        for field in ("labels", "audio_labels", "visual_labels", "video_labels"):
            if field not in batch:
                continue
            labels = batch[field]
            shares = field == "video_labels" and "labels" in batch  # AVE's are shares of a clip
            if not shares and not ((labels == 0) | (labels == 1)).all():
                return f"{name}: {field} holds other values than 0 and 1"
            if (labels < 0).any() or (labels > 1).any():
                return f"{name}: {field} holds values that are no shares"
            one_each = field == "labels" or shares
            if one_each and not torch.allclose(labels.sum(-1), torch.ones(()), atol=1e-4):
                return f"{name}: {field} do not sum to 1"
    return ""


def wrong_in_results(folder: Path) -> str:
    """What a run wrote beside its stages that is not whole or not finite."""
    from safetensors.torch import load_file

    for path in sorted(folder.glob("*/*/seed-*")):
        if "stages" in path.parts or path.is_dir():
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
            elif path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as file:
                    told = json.loads(str(file["run"]))
                    assert told["recipe"] in path.parts
                    assert all(file[name].dtype == np.uint8 for name in file if name != "run")
            elif wrong := not_finite(load_file(path), path.name):
                return wrong
        except Exception as error:
            return f"{path.name} is half-written or not finite: {type(error).__name__}: {error}"
    return ""


def _refuse(word: str):
    raise ValueError(word)


def odd_number_in(text: str) -> str:
    """A number that is not finite, among words."""
    found = re.search(r"(?<![\w/.-])[-+]?(nan|inf|infinity)(?![\w.-])", text, re.I)
    return f"prints {found[0]}" if found else ""


# ------------------------------------------------------------------------------------------ folders
def load_folder(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """The loader, strict and weak, from memory or disk, beside the check of the same folder."""
    from avbook.data.ave import AVE
    from avbook.data.llp import LLP
    from avbook.data.packs import check_folder

    folder = case / "in"
    check, issues = tried(check_folder, folder)
    errors = [issue for issue in issues or () if issue.level == "error"]
    for issue in issues or ():
        if (line := refusal(str(issue))).kind != "refused":
            check = worst(check, line)
    loaders = {"LLP": lambda cache: LLP(folder, cache_mb=cache)}
    if "ave" in case.name:
        loaders = {
            "AVE": lambda cache: AVE(folder, cache_mb=cache),
            "AVE weak": lambda cache: AVE(folder, weak=True, cache_mb=cache),
        }
    found = {name: accepted(*tried(load, 600), wrong_in_data) for name, load in loaders.items()}
    first, wrong = next(iter(found.values())), [check, *found.values()]
    for name, outcome in found.items():
        if check.kind != "accepted":
            continue
        if errors and outcome.kind == "accepted":
            refused = f"check refuses ({str(errors[0])[:140]}), {name} loads"
            wrong.append(Outcome("disagree", refused))
        # the check only notes that there are no background clips
        absent = "weak" in name and "weak=True" in outcome.said
        if not errors and outcome.kind == "refused" and not absent:
            wrong.append(Outcome("disagree", f"check passes, {name}: {outcome.said[-140:]}"))
    if rng.random() < 0.3:  # features that stay on disk are judged as they are read
        wrong.append(accepted(*tried(loaders.popitem()[1], 0), wrong_in_data))
    found_worst = worst(*wrong)
    return first if found_worst.kind in RIGHT else found_worst


def pack(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """Packed, the pack checked and loaded."""
    from avbook.data.packs import check_folder, pack_folder

    out = case / "out.pack"
    found, _ = tried(pack_folder, case / "in", out, False)
    if found.kind != "accepted":
        there = Outcome("leftover", "a pack with its name, though it was refused")
        return worst(found, there) if out.exists() else found
    found, data = tried(_load_either, out)
    if found.kind == "refused":
        return Outcome("disagree", f"packed, but cannot be loaded: {found.said[-140:]}")
    found = accepted(found, data, wrong_in_data)
    _, issues = tried(check_folder, out)
    errors = [issue for issue in issues or () if issue.level == "error"]
    if errors:
        return worst(found, Outcome("disagree", f"packed, but refused: {errors[0]}"))
    return found


def _load_either(folder: Path):
    from avbook.data.ave import AVE
    from avbook.data.llp import LLP
    from avbook.data.packs import task_of

    return {"ave": AVE, "llp": LLP}[task_of(folder)](folder)


def check_command(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    code, out, err = command("data", "check", str(case / "in"), cwd=case, environment=ENVIRONMENT)
    return told(code, err)


def pack_command(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    words = ("data", "pack", str(case / "in"), str(case / "out.pack"))
    code, _, err = command(*words, cwd=case, environment=ENVIRONMENT)
    found = told(code, err)
    if found.kind != "accepted" and (case / "out.pack").exists():
        return worst(found, Outcome("leftover", "a pack with its name, though it was refused"))
    return found


def scripts(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """The real annotations as scripts of a world."""
    from avbook.world.clips import clip_record, read_scripts

    task = "ave" if "ave" in case.name else "llp"

    def wrong(clips) -> str:
        json.dumps([clip_record(clip) for clip in clips], allow_nan=False)
        return ""

    return accepted(*tried(read_scripts, task, case / "in"), wrong)


# --------------------------------------------------------------------------------------------- runs
def run_on(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """A run on spoilt data."""
    task = "ave" if "ave" in case.name else "llp"
    recipe = rng.choice([r for r in SMALL if DATA_OF[r] == task])
    code, out, err = command(*run_words(recipe, case / "in", case / "out"), cwd=case,
                             environment=ENVIRONMENT)  # fmt: skip
    found = told(code, err)
    wrong = wrong_in_results(case / "out") or odd_number_in(out)
    if not wrong and found.kind == "refused" and list(case.glob("out/*/*/seed-*.json")):
        wrong = "refused, but there is a record"
    return worst(found, *([Outcome("silent", wrong)] if wrong else []))


def run_again(recipe: str) -> Callable:
    """The command that wrote the folder, given again: it reads what is spoilt now."""

    def call(case: Path, inputs: Path, rng: random.Random) -> Outcome:
        words = run_words(recipe, inputs / DATA_OF[recipe], case / "in")
        code, out, err = command(*words, cwd=case, environment=ENVIRONMENT)
        found, wrong = told(code, err), odd_number_in(out)
        if not wrong and found.kind == "accepted":
            wrong = wrong_in_results(case / "in")
        return worst(found, *([Outcome("silent", wrong)] if wrong else []))

    return call


def read_records(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """`table --dry`, and `Records`."""
    from avbook.experiments.records import Records

    def ask(records):
        found = records.of("psp-full", preset="quick")
        assert all(math.isfinite(record["seed"]) for record in found)
        return ""

    library, records = tried(Records, case / "in")
    library = accepted(library, records, ask)
    words = ("table", "psp-1", "--only", "full", "--dry", "--data", str(inputs / "ave"), *QUICK)
    code, out, err = command(*words, "--out", str(case / "in"), cwd=case, environment=ENVIRONMENT)
    found, wrong = told(code, err), odd_number_in(out)
    for path in case.glob("in/psp-1.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        wrong = wrong or next((f"writes {c}" for c in cells if c.lower() in ("nan", "inf")), "")
    return worst(found, library, *([Outcome("silent", wrong)] if wrong else []))


def resume(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """`fit` from a spoilt checkpoint."""

    def wrong(result) -> str:
        json.dumps(result.to_record(), allow_nan=False)
        return next(filter(None, (not_finite(w, n) for n, w in result.weights.items())), "")

    found, result = tried(fit_tiny, case / "in", 3)
    try:
        return accepted(found, result, wrong)
    except ValueError as error:
        return Outcome("silent", f"the record is not finite: {error}")


# ------------------------------------------------------------------------------------------ weights
def wrong_in_net(net) -> str:
    return not_finite(net.state_dict(), "weights")


def load_net(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """`load_weights` of a spoilt file; a refusal leaves the network as it was."""
    from avbook.training.weights import load_weights

    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found, _ = tried(load_weights, net, case / "in" / "net.safetensors")
    if found.kind == "refused":
        same = all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
        return found if same else Outcome("silent", "refused, but the network has changed")
    return accepted(found, net, wrong_in_net)


def load_run(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """`load_model` of a finished run's spoilt weights or record."""
    import avbook

    if not hasattr(avbook, "load_model"):
        return Outcome("accepted", "there is no load_model yet")
    (path,) = (inputs / "runs-psp-full").glob("*/*/seed-0.safetensors")
    spoilt = case / "in" / path.relative_to(inputs / "runs-psp-full")
    return accepted(*tried(avbook.load_model, spoilt), wrong_in_net)


def released_weights(kind: str) -> dict[str, np.ndarray]:
    """Small weights under the names that the released network of this kind has."""
    from avbook.experiments.released import RELEASED

    net = _small_net(kind)
    back = {ours: theirs for theirs, ours in RELEASED[kind].names.items()}
    found = {}
    for name, tensor in net.state_dict().items():
        prefix = max((p for p in back if name.startswith(p)), key=len, default="")
        found[back.get(prefix, "") + name[len(prefix) :]] = tensor.numpy().copy()
    return found


def _small_net(kind: str):
    from avbook.parsing.han import HAN
    from avbook.parsing.ma import MA
    from avbook.supervised.avel import AVEL
    from avbook.supervised.psp import PSP

    if kind in ("han", "ma"):
        sizes = {"audio_dim": 6, "visual_2d_dim": 5, "visual_3d_dim": 4, "categories": 3}
        return {"han": HAN, "ma": MA}[kind](**sizes, width=8, hidden=8)
    sizes = {"visual_dim": 5, "attention_dim": 8, "positions": 4, "hidden": 3, "head": 7,
             "categories": 2, "audio_dim": 6}  # fmt: skip
    weak = {"weak": True} if kind.endswith("weak") else {}
    if kind.startswith("psp"):
        more = weak or {"bottleneck": 9}
        return PSP(**sizes, **more, width=6)
    return AVEL(**sizes, **weak, **({"pool": "max"} if weak else {}))


KINDS = ("psp-full", "psp-weak", "avel-full", "avel-weak", "han", "ma")


def load_released(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """`load_released` of a dict in memory, or of a file in any of the formats that weights have."""
    from avbook.experiments import released

    kind = rng.choice(KINDS)
    given, said = mutate_weights(released_weights(kind), rng, case / MARK)
    if rng.random() < 0.3:
        given, what = _as_file(given, case, rng)
        said = f"{said}; {what}"
    note(f"{kind}: {said}")
    return accepted(*tried(released.load_released, kind, given), wrong_in_net)


def _as_file(given, case: Path, rng: random.Random) -> tuple[Path, str]:
    """The path of the weights as they lie on disk; of arrays alone, where there are others."""
    from safetensors.numpy import save_file

    arrays = released_weights("psp-full")
    if isinstance(given, dict):
        arrays = {
            str(k): w for k, w in given.items() if isinstance(w, np.ndarray) and w.dtype != object
        }
    suffix = rng.choice([".pt", ".pt", ".pth", ".npz", ".safetensors", ".txt"])
    path = case / f"weights{suffix}"
    try:
        if suffix in (".pt", ".pth"):
            save_pt(path, given, rng)
        elif suffix == ".npz":
            np.savez(path, **arrays)
        elif suffix == ".safetensors":
            save_file({k: w for k, w in arrays.items() if w.dtype.kind in "fiu"}, path)
        else:
            path.write_text("weights")
    except Exception:  # what no such file can hold
        path.write_bytes(b"\x80\x02")
    said = f"as {suffix}"
    if rng.random() < 0.4:
        said += f", {mutate_bytes(path, rng)}"
    return rng.choice([path, str(path)]), said


# -------------------------------------------------------------------------------------------- world
def read_world(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """`open_world`, and `open_clip` by row and by id; the sound that comes of it."""
    from avbook.world.audio import render_sound
    from avbook.world.build import open_clip, open_world
    from avbook.world.clips import clip_record

    known, info = tried(open_world, case / "in")
    known = accepted(known, info, lambda info: "" if json.dumps(info, allow_nan=False) else "?")
    first = json.loads((inputs / "world/scripts.jsonl").read_text().splitlines()[0])["id"]
    asked = rng.choice([0, 0, 1, 2, first, first])

    def wrong(clip) -> str:
        try:
            json.dumps(clip_record(clip), allow_nan=False)
        except ValueError as error:
            return f"the script holds a number that is not finite: {error}"
        sound = np.asarray(render_sound(clip))
        return "" if np.isfinite(sound).all() else "the sound is not finite"

    return worst(known, accepted(*tried(open_clip, case / "in", asked), wrong))


# -------------------------------------------------------------------------------------------- words
NONSENSE = [
    "", " ", "x", "-1", "-5", "0", "0.5", "1.5", "-0.0", "nan", "NaN", "inf", "Infinity", "-inf",
    "1e999", "9" * 400, "9" * 5000, "-" + "9" * 5000, "0." + "9" * 5000, "1e-400", "٣", "0x10",
    "1_0", "true", "null", "None", "[]", "{}", "[1]", '"x"', "{", "[" * 5000, "é", "\ud800",
    "%s", "--",
    "../..", "/", "/dev/null", "/dev/zero", ".", "x" * 5000, "a\nb", "1 2", "1,2", "=", "a=b=c",
    "1000000000", "1000000000000", "-1000000000000",
]  # fmt: skip
SETS = {
    "psp-full": ["tau", "dropout", "hidden", "lr", "threads", "decay", "decay_every", "batch_size",
                 "prune", "strict", "precision", "weight_decay", "attention_dim", "epochs",
                 "nothing"],
    "ma": ["tau", "dropout", "partners", "refine_threshold", "smoothing", "refine", "width",
           "hidden", "average", "filter", "weight", "lr", "threshold"],
    "cmlcl": ["k", "categories", "kl_cap", "theta", "width", "heads", "temperature", "momentum",
              "share", "represent_lr", "tau", "rounds", "modality"],
}  # fmt: skip
# so many of them would be a long run, not a fault
LONG = (
    "epochs",
    "rounds",
    "represent_epochs",
    "annotate_epochs",
    "partners",
    "--epochs",
    "--seeds",
)


def _word(name: str, rng: random.Random) -> str:
    word = rng.choice(NONSENSE)
    while name in LONG and word.isdigit() and len(word) < 400 and int(word) > 5:
        word = rng.choice(NONSENSE)
    return word


def nonsense(case: Path, inputs: Path, rng: random.Random) -> Outcome:
    """A command with a word that makes no sense for one option or two."""
    (case / "there").mkdir()
    (case / "there/a").touch()
    kind = rng.choice(["run", "run", "run", "set", "set", "set", "set", "table", "world", "recipes",
                       "data", "demo"])  # fmt: skip
    out, ave = ["--out", str(case / "out")], str(inputs / "ave")

    def option(*names: str) -> list[str]:
        name = rng.choice(names)
        return [name, _word(name, rng)]

    if kind == "run":
        words = [*run_words("psp-full", ave, case / "out")]
        words += option("--data", "--seed", "--seeds", "--preset", "--epochs", "--device", "--jobs",
                        "--set", "--out")  # fmt: skip
        if rng.random() < 0.1:
            words[1] = _word("", rng)
    elif kind == "set":
        recipe = rng.choice(list(SETS))
        name = rng.choice(SETS[recipe])
        words = [*run_words(recipe, inputs / DATA_OF[recipe], case / "out")]
        words += ["--set", f"{name}={_word(name, rng)}"]
    elif kind == "table":
        words = ["table", rng.choice(["psp-1", _word("", rng)]), "--dry", "--data", ave, *out]
        words += option(
            "--only", "--seeds", "--preset", "--set", "--out", "--device", "--jobs", "--data"
        )
    elif kind == "world":
        words = ["world", str(case / "there")]
        words += option("--like", "--size", "--seed", "--visual-dim", "--annotations")
    elif kind == "recipes":
        words = ["recipes", _word("", rng)]
    elif kind == "data":
        word = _word("", rng)
        pairs = [["check", word], ["pack", ave, word], ["pack", word, str(case / "out.pack")]]
        words = ["data", *rng.choice(pairs)]
    else:
        words = ["demo", *out, "--data", ave, *option("--seeds", "--jobs", "--data", "--out")]
        words = (
            words
            if words[-2] in ("--jobs", "--data") and words[-1] == ""
            else [*words, "--nothing"]
        )
    code, said, err = command(*words, cwd=case, environment=ENVIRONMENT)
    found, wrong = told(code, err), wrong_in_results(case / "out")
    if code == 0 and not any(odd_number_in(word) for word in words):  # which may be repeated
        wrong = wrong or odd_number_in(said)
    return worst(found, *([Outcome("silent", wrong)] if wrong else []))


# ---------------------------------------------------------------------------------------- all of it
_FEATURES = ("*.h5", "*.txt")
_LISTS = ("*.csv", "*.csv", "*.json", "vggish/*.npy", "res152/*.npy", "r2plus1d_18/*.npy", "vggish")
_PACK = ("*", "pack.json")
_RUN = ("*/*/seed-0.json",)
TARGETS = (
    Target("load ave", "ave", _FEATURES, load_folder, 5),
    Target("load llp", "llp", _LISTS, load_folder, 3),
    Target("load llp-world", "llp-world", ("*.csv", "*.json"), load_folder, 1),
    Target("load ave.pack", "ave.pack", _PACK, load_folder, 3),
    Target("load llp.pack", "llp.pack", _PACK, load_folder, 1),
    Target("pack ave", "ave", _FEATURES, pack, 1.5),
    Target("pack llp", "llp", _LISTS, pack, 1),
    Target("data check", "ave", _FEATURES, check_command, 1),
    Target("data pack", "ave", _FEATURES, pack_command, 0.7),
    Target("scripts ave", "ave", ("*.txt", "*_order.h5"), scripts, 1),
    Target("scripts llp", "llp", ("*.csv",), scripts, 1),
    Target("run ave", "ave", _FEATURES, run_on, 1),
    Target("run llp", "llp", _LISTS, run_on, 0.7),
    Target("run again", "runs-psp-full", _RUN, run_again("psp-full"), 0.5),
    Target("stages ma", "stages-ma", ("ma/stages/*/*.*",), run_again("ma"), 0.8),
    Target("stages cmlcl", "stages-cmlcl", ("cmlcl/stages/*/*.*",), run_again("cmlcl"), 0.8),
    Target("table --dry", "records", ("*/*/seed-*.json",), read_records, 3),
    Target("resume", "checkpoint", ("state.safetensors",), resume, 3),
    Target("load_weights", "weights", ("*.safetensors",), load_net, 2),
    Target("load_model", "runs-psp-full", ("*/*/seed-0.*",), load_run, 1),
    Target("load_released", "nothing", (), load_released, 5),
    Target("open_clip", "world", ("world.json", "scripts.jsonl"), read_world, 3),
    Target("words", "nothing", (), nonsense, 3),
)
