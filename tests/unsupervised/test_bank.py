"""Memory banks that begin with what the untrained backbone gives."""

import pytest
import torch

from avbook.errors import AvbookError
from avbook.unsupervised.pretraining import PretextMethod, UnlabelledSplit, pretrain
from avbook.unsupervised.representation import AVBackbone, pooled


class Clips:
    """Random clips as a split."""

    def __init__(self, n=9):
        draw = torch.Generator().manual_seed(0)
        self.audio = torch.randn(n, 4, 6, generator=draw)
        self.visual = torch.randn(n, 4, 2, 2, 5, generator=draw)

    def __len__(self):
        return len(self.audio)

    def batch(self, rows):
        return {"audio": self.audio[rows], "visual": self.visual[rows]}

    def subset(self, rows):
        return self


def test_filled_banks_hold_every_videos_vector():
    torch.manual_seed(1)
    clips, net = Clips(), AVBackbone(5, 6, hidden=8)
    method = PretextMethod(len(clips), 8, bank="features")
    method.fill_banks(net, UnlabelledSplit(clips), batch_size=4)
    with torch.no_grad():
        out = net(clips.batch(list(range(9))))
    for name, bank in method.banks.items():
        torch.testing.assert_close(bank.vectors, pooled(out[f"{name[0]}_attn"], "none"))


def test_pretraining_begins_from_the_banks_that_were_asked_for():
    def first_loss(**options):
        _, history = pretrain(
            Clips(), epochs=1, batch_size=9, hidden=8, device="cpu", progress=False, **options
        )
        return history[0]["losses"]["ins_audio"]

    assert first_loss() == first_loss(bank="random") > first_loss(bank="features")


def test_other_banks_are_refused():
    with pytest.raises(AvbookError, match="bank='full': expected 'random' or 'features'"):
        PretextMethod(3, 8, bank="full")
