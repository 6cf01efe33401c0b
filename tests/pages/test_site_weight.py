"""A rendered site is made lighter without changing how it looks, and weighed."""

import base64
import io
import wave

import matplotlib.pyplot as plt
import numpy as np
import pytest
import site_lighter
import site_weight
from PIL import Image

from avbook.show.explorers import play_clip


def figure(values) -> bytes:
    """A PNG as Matplotlib writes it."""
    out = io.BytesIO()
    plt.imsave(out, values)
    return out.getvalue()


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.fixture
def site(tmp_path):
    """Two pages, one with a sound and one in a folder, a script, an image and Quarto's sheet."""
    (tmp_path / "site_libs/bootstrap").mkdir(parents=True)
    (tmp_path / "deep").mkdir()
    (tmp_path / "site_libs/bootstrap/a.min.css").write_text(
        "@charset 'utf-8';.seen{a:b}.unseen,.seen .unseen{a:b}.unseen,p:not(.unseen){a:b}"
        "@media print{.unseen{a:b}}@media(x){.by-script{b:';}'}}@keyframes k{0%{a:b}}.aa-made{a:b}"
    )
    (tmp_path / "a.js").write_text('x.classList.add("by-script")')
    ramp = np.linspace(0, 1, 256 * 256 * 3).reshape(256, 256, 3)
    (tmp_path / "a.png").write_bytes(figure(ramp))
    sound = base64.b64encode(b"RIFF" * 1000).decode()
    (tmp_path / "a.html").write_text(
        '<link href="site_libs/bootstrap/a.min.css?1" rel="stylesheet"><script src="a.js"></script>'
        f'<p class="seen"><img src="a.png"><img src="a.png"><audio controls>\n<source src='
        f'"data:audio/wav;base64,{sound}" type="audio/wav"></audio>unseen</p>'
    )
    (tmp_path / "deep/b.html").write_text(
        '<link rel="canonical" href="../a.js"><iframe src="../a.html"></iframe>'
        '<a href="../a.png">a</a><img src="data:image/png;base64,AA==">'
    )
    return tmp_path


def test_rules_for_what_no_page_has_go(site):
    site_lighter.main(site)
    assert (site / "site_libs/bootstrap/a.min.css").read_text() == (
        "@charset 'utf-8';.seen{a:b}p:not(.unseen){a:b}"
        "@media(x){.by-script{b:';}'}}@keyframes k{0%{a:b}}.aa-made{a:b}"
    )


def test_a_sound_becomes_a_file_that_is_loaded_when_played(site):
    site_lighter.main(site)
    (sound,) = site.glob("*.wav")
    assert sound.read_bytes() == b"RIFF" * 1000
    html = (site / "a.html").read_text()
    assert '<audio controls preload="none">' in html and f'src="{sound.name}"' in html
    assert sound not in site_weight.loaded(site / "a.html")


@pytest.mark.parametrize("kind", ["few colours", "gradients"])
def test_a_figure_gets_smaller_and_looks_the_same(kind):
    random = np.random.default_rng(0)
    if kind == "few colours":
        values = random.integers(0, 2, (200, 200, 3)) * 0.5
    else:
        values = np.kron(random.random((60, 60, 3)), np.ones((4, 4, 1)))
    values[:5] = 1
    before = figure(values)
    after = site_lighter.small_png(before)
    assert len(after) < 0.9 * len(before)
    assert (pixels(after)[:5] == 255).all(), "white stays white"
    assert np.abs(pixels(after) - pixels(before)).max() <= (0 if kind == "few colours" else 3)
    assert site_lighter.small_png(after) == after, "a second time changes nothing"


def test_an_image_that_is_no_figure_stays():
    out = io.BytesIO()
    Image.new("RGB", (9, 9)).save(out, "PNG")
    assert site_lighter.small_png(out.getvalue()) == out.getvalue()


def test_a_second_run_changes_nothing(site):
    site_lighter.main(site)
    before = {path: path.read_bytes() for path in site.rglob("*.*")}
    site_lighter.main(site)
    assert before == {path: path.read_bytes() for path in site.rglob("*.*")}


def test_a_page_weighs_what_it_loads_once(site):
    sizes = {path.name: path.stat().st_size for path in site.rglob("*.*")}
    weights = {w.page: w.raw for w in site_weight.weigh(site)}
    assert weights["a"] == sum(sizes[name] for name in ("a.html", "a.min.css", "a.js", "a.png"))
    assert weights["deep/b"] == weights["a"] + sizes["b.html"]


def test_a_page_over_its_limit_is_named(site, capsys):
    assert site_weight.main(site) == 0 and site_weight.main(site / "site_libs") == 1
    (site / "6_evidence").mkdir()
    for page in ("deep/b.html", "6_evidence/claims.html"):  # the second is a page of results
        (site / page).write_bytes(b" " * 1_500_001)
    assert site_weight.main(site) == 1
    over = [line for line in capsys.readouterr().out.splitlines() if "over" in line]
    assert [line.split()[2] for line in over] == ["deep/b"]


def test_an_explorers_media_become_files_and_it_still_plays(browser, tmp_path):
    seconds = np.arange(16_000) / 16_000
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    explorer = play_clip(
        frames, 0.5 * np.sin(2000 * seconds), {"ground truth": np.array([0])}, names=["dog"]
    )
    page = browser.open(explorer._repr_html_())
    file = next(tmp_path.glob("*.html"))
    page.close()
    site_lighter.with_media_as_files(file)
    light = file.read_text()
    assert 'src="data:' not in light and '"data:' not in light and 'loading="lazy"' in light
    (sound,) = tmp_path.glob("*.wav")
    with wave.open(str(sound)) as stored:
        samples = np.frombuffer(stored.readframes(16_000), "<i2") / 32767
    assert np.abs(samples - 0.5 * np.sin(2000 * seconds)).max() < 0.02
    assert site_weight.weigh(tmp_path)[0].raw == len(light.encode())
    site_lighter.with_media_as_files(file)
    assert file.read_text() == light
    page, asked = browser.contexts[0].new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert not [url for url in asked if url.endswith(".wav")], "loaded when it is played"
    with page.expect_request("**/*.wav"):
        page.get_by_role("button", name="Play").click()
