"""The explorer of audio-guided attention in a browser: its weights are the network's, its shares
those of the objects' masks, and it is operated by mouse, keyboard and touch."""

import numpy as np
import pytest
import torch
from browser import overflow, violations

from avbook.errors import AvbookError
from avbook.show.explorers import attention, explore_attention
from avbook.show.explorers.base import script
from avbook.supervised.attention import AudioGuidedAttention
from avbook.supervised.psp import PSP
from avbook.world.clips import Clip, Source
from avbook.world.video import visible_masks

ON, OFF = np.ones(10, bool), np.zeros(10, bool)


def clip(*sources, k=0):
    return Clip(f"attention{k:02d}", sources, seed=k)


# rows of the split: a clock beside a silent bus, a bus alone, a clock alone
CLIPS = [
    clip(Source("Clock", ON, ON, x=0.2, seed=1), Source("Bus", OFF, ON, x=0.9, seed=2)),
    clip(Source("Bus", ON, ON, seed=3), k=1),
    clip(Source("Clock", ON, np.arange(10) > 4, seed=4), k=2),
]


class Split:
    rows = np.arange(3)

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.all = {
            "audio": torch.randn(3, 10, 6, generator=g),
            "visual": torch.rand(3, 10, 7, 7, 5, generator=g),
        }

    def __len__(self):
        return 3

    def batch(self, rows):
        return {name: value[list(rows)] for name, value in self.all.items()}


class Data:
    kind, folder, test = "world", None, Split()


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = AudioGuidedAttention(6, 5, 49, 8)
    with torch.no_grad():
        net.score.weight *= 20  # weights as unequal as trained ones
    return net


@pytest.fixture(scope="module")
def explorer(net):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "open_clips", lambda folder: CLIPS)
        return explore_attention(net, Data, [0, 1, 2])


def weights(net, row, second, other, at):
    """The network's, for a frame of one clip and a second of audio of another; zeros for None."""
    audio = torch.zeros(1, 1, 6) if other is None else Data.test.all["audio"][[other], at]
    with torch.no_grad():
        visual = Data.test.all["visual"][[row], second].unsqueeze(1)
        return net(audio.reshape(1, 1, 6), visual)[1][0, 0].numpy()


def covered(row):
    masks = visible_masks(CLIPS[row])
    return masks.reshape(-1, 10, 7, 8, 7, 8).mean((3, 5)).reshape(-1, 10, 49)


def whole(share):
    return f"{int(np.floor(100 * share + 0.5))} %"


def said(page):
    return page.locator(".said").inner_text()


def functions(browser):
    names = "bytesOf, weightsAt, attentionOn, attentionMoved, outlinePath, unpack"
    return browser.open(
        f'<script type="module">{script("attention")}\nObject.assign(window, {{ {names} }});'
        "</script>"
    )


def test_the_weights_are_the_networks(net, explorer, browser):
    page = functions(browser)
    for row, second, other, at in ((0, 3, 0, 3), (0, 3, 1, 8), (2, 9, 0, 0), (1, 0, 1, 9)):
        found = page.evaluate(
            "([one, second, other, at]) => unpack(one).weights(other, at, second)",
            [explorer.data["clips"][row], second, other, at],
        )
        assert np.abs(np.array(found) - weights(net, row, second, other, at)).max() < 5e-3
    found = page.evaluate("one => unpack(one).guidedByZeros(4)", explorer.data["clips"][1])
    assert np.abs(np.array(found) - weights(net, 1, 4, None, 0)).max() < 5e-3


def test_shares_and_moves_are_those_of_python(net, explorer, browser):
    page = functions(browser)
    own, new = weights(net, 0, 3, 0, 3), weights(net, 0, 3, 1, 8)
    moved = page.evaluate("([a, b]) => attentionMoved(a, b)", [own.tolist(), new.tolist()])
    assert moved == pytest.approx(np.abs(own - new).sum() / 2)
    for k in (0, 1):
        share = page.evaluate(
            "([one, k, weights]) => attentionOn(weights, unpack(one).objects[k].covered(3))",
            [explorer.data["clips"][0], k, own.tolist()],
        )
        assert share == pytest.approx((own * covered(0)[k, 3]).sum())


def test_an_outline_surrounds_its_mask(browser):
    page = functions(browser)
    mask = np.zeros((6, 6), bool)
    mask[1:4, 2:4] = True
    mask[5, 0] = True  # a single pixel is left out
    path = page.evaluate("mask => outlinePath(mask, 6)", mask.ravel().tolist())
    assert path.count("M") == 1
    corners = {tuple(map(int, point.split())) for point in path.strip("MZ").split("L")}
    inner = {(3, 2), (3, 3)}  # (x, y) of corners within the mask
    block = {(x, y) for x in (2, 3, 4) for y in (1, 2, 3, 4)}
    assert corners == block - inner


def test_the_exchanges_over_all_clips(net, explorer):
    audio, visual = Data.test.all["audio"], Data.test.all["visual"]
    with torch.no_grad():
        own, other = net(audio, visual)[1].numpy(), net(audio.roll(1, 0), visual)[1].numpy()
        alike = net(audio[[1, 1, 1]], visual)[1].numpy()
    event = np.stack([one.sources[0].event for one in CLIPS])
    lines = {one["name"]: one for one in explorer.data["test"]["lines"]}
    moved = 100 * (np.abs(other - own).sum(-1) / 2)[event].mean()
    assert lines["another clip"]["moves"] == pytest.approx(moved, abs=0.06)
    clock, bus = covered(0)
    shares = [
        100 * (weights[0] * cells).sum(-1).mean()
        for weights in (own, alike)
        for cells in (clock, bus)
    ]
    names = ("its own second", "a clip of the silent object's class")
    found = [lines[name][key] for name in names for key in ("sounding", "silent")]
    assert found == pytest.approx(shares, abs=0.06)
    assert explorer.data["test"]["both"] == [1, 10] and explorer.data["test"]["segments"] == 25
    assert lines["its own second"]["moves"] == 0


def test_it_is_operated_by_keyboard_and_mouse(net, explorer, browser):
    page = browser.open(explorer._repr_html_())
    clock, bus = covered(0)
    # it starts with the audio of the silent object's class
    own, new = weights(net, 0, 0, 0, 0), weights(net, 0, 0, 1, 0)
    assert said(page) == (
        f"Frame 0 of clip 0, audio of second 0 of clip 1: {whole(np.abs(own - new).sum() / 2)} of"
        f" the attention moves; Clock (sounds) {whole((own * clock[0]).sum())} →"
        f" {whole((new * clock[0]).sum())}, Bus (silent) {whole((own * bus[0]).sum())} →"
        f" {whole((new * bus[0]).sum())}."
    )
    assert page.locator("tr.now").inner_text().startswith("▸ a clip of the silent object's class")
    page.get_by_role("slider", name="second of the frame").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.get_by_role("slider", name="second of the audio").focus()
    page.keyboard.press("End")
    own, new = weights(net, 0, 3, 0, 3), weights(net, 0, 3, 1, 9)
    moved = whole(np.abs(own - new).sum() / 2)
    assert said(page).startswith(f"Frame 3 of clip 0, audio of second 9 of clip 1: {moved} of")
    assert page.get_by_role("img", name="Chosen minus own").get_attribute("aria-label") == (
        f"Chosen minus own: {moved} of the attention moves"
    )
    page.get_by_role("radio", name="another clip").focus()
    page.keyboard.press("ArrowRight")  # zeros
    assert said(page).startswith("Frame 3 of clip 0, zeros as audio")
    assert page.get_by_role("button", name="hear").is_disabled()
    page.keyboard.press("ArrowRight")  # its own second
    assert said(page).startswith("Frame 3 of clip 0, its own audio")
    page.locator(".wave").nth(6).click()
    assert page.get_by_role("radio", name="another second").get_attribute("aria-checked") == "true"
    assert said(page).startswith("Frame 3 of clip 0, audio of second 6 of clip 0")
    page.locator(".row .frame").nth(8).click()
    assert page.get_by_role("slider", name="second of the frame").input_value() == "8"
    page.get_by_role("combobox", name="test clip").select_option(index=2)
    assert said(page).startswith("Frame 8 of clip 2, audio of second 6 of clip 2")


def test_the_grid_says_the_percentages(net, explorer, browser):
    page = browser.open(explorer._repr_html_())
    page.get_by_role("radio", name="its own second").click()
    page.get_by_role("radio", name="grid").click()
    own = weights(net, 0, 0, 0, 0)
    texts = page.locator(".over").first.locator("text").all_text_contents()
    expected = np.where(own >= 0.005, 100 * own, 0)
    found = [float(text or 0) for text in texts]
    assert len(found) == 49 and np.abs(found - expected).max() < 1.05
    difference = page.locator(".over").last.locator("text").all_text_contents()
    assert set(difference) == {""}


def test_the_guiding_second_is_heard(explorer, browser):
    page = browser.open(explorer._repr_html_())
    page.get_by_role("slider", name="second of the audio").fill("4")
    page.get_by_role("button", name="hear this second").click()
    shadow = "document.querySelector('.avbook-explorer').shadowRoot.querySelector('audio')"
    page.wait_for_function(f"{shadow}.currentTime >= 4.2")
    page.wait_for_function(f"{shadow}.paused")  # after a second


@pytest.mark.parametrize("width, dark", [(1280, False), (768, True), (390, False), (390, True)])
def test_it_fits_and_is_accessible(explorer, browser, width, dark):
    page = browser.open(explorer._repr_html_(), width, dark, touch=width == 390)
    if width == 390:
        page.get_by_role("radio", name="grid").tap()
    assert overflow(page) == 0 and violations(page) == []
    controls = page.locator("button:visible, select:visible, input:visible")
    assert min(one.bounding_box()["height"] for one in controls.all()) >= 36


def test_without_scripts_the_figure_is_shown(explorer, browser):
    page = browser.open(explorer._repr_html_(), scripts=False)
    image = page.get_by_role("img", name="The 10 frames of test clip 0 (Clock sounds, Bus silent)")
    assert image.is_visible() and image.bounding_box()["height"] > 200


def test_a_network_that_returns_attention_is_shown_too(monkeypatch):
    monkeypatch.setattr(attention, "open_clips", lambda folder: CLIPS)
    torch.manual_seed(0)
    sizes = dict(audio_dim=6, visual_dim=5, positions=49, categories=3, attention_dim=8)
    psp = PSP(**sizes, bottleneck=7, width=6, hidden=3, head=8).train()
    found = explore_attention(psp, Data, [0])
    assert psp.training
    with torch.no_grad():
        own = psp.eval()(Data.test.all)["attention"][0].numpy()
    pairs = np.frombuffer(attention.base64.b64decode(found.data["clips"][0]["maps"]), np.uint8)
    pairs = (pairs.reshape(10, 10, 49) / 255.0) ** 2
    assert np.abs(pairs[np.arange(10), np.arange(10)] - own).max() < 5e-3


def test_what_cannot_be_shown_is_said(net):
    with pytest.raises(AvbookError, match="expected rows of the test split"):
        explore_attention(net, Data, [3])

    class Official(Data):
        kind = "official"

    with pytest.raises(AvbookError, match="expected a world"):
        explore_attention(net, Official, [0])
