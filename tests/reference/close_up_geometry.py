"""Whether the model cuts out what the training was shown, and puts it back where it was. Run by torch's python."""

import cv2
import numpy as np
import torch

from reference.anomaly import closeup
from reference.anomaly.channels import SIZE, STRIDE
from reference.anomaly.closeup import HINGE, cut
from reference.anomaly.model import AT_ONCE, FOUND, HALF, SAID, Anomaly, Close, Whole, places


def main() -> None:
    net = Anomaly(Whole(), Close(), SIZE).eval()
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 3)
    at = np.array([300.25, 150.5, np.cos(0.7), np.sin(0.7), 12], np.float32)
    same = torch.from_numpy(np.repeat(at[:, None], AT_ONCE, 1))
    found = net.cut(torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32)), same)
    away = np.abs(found[0].numpy().transpose(1, 2, 0) - cut(picture, at))
    assert away.max() < 2, away.max()
    shown = torch.zeros(AT_ONCE, 1, 6, 16)
    shown[:, :, int(HINGE[0] / closeup.STRIDE), int(HINGE[1] / closeup.STRIDE)] = 1
    rows, columns = np.nonzero(net.back(shown, same)[0].numpy())
    middle = np.array([columns.mean(), rows.mean()]) * STRIDE + STRIDE / 2
    assert np.hypot(*(middle - at[:2])) < 1.5 * at[4], middle
    said = torch.zeros(1, SAID, SIZE[0] // STRIDE, SIZE[1] // STRIDE)
    said[:, FOUND] = -9
    said[0, FOUND:, 20, 30] = torch.tensor([3.0, 0.25, -0.5, 0.0, -2.0, 0.5])
    sure, told = places(said)
    assert sure[0] == 3
    wanted = [(30.5 + 0.25) * STRIDE, (20.5 - 0.5) * STRIDE, 0, -1, HALF * np.exp(0.5)]
    assert np.allclose(told[:, 0].numpy(), wanted, atol=1e-2), told[:, 0]


if __name__ == "__main__":
    main()
