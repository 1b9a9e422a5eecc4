# SPDX-License-Identifier: Apache-2.0
"""One labeled volume of the phantom, and how well a network learns it by heart."""

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss

from monai_cl_ext.data.phantom import Phantom

SIZE = 32
CLASSES = 4


def labeled_slices(patient=1):
    """Images (slices, 1, SIZE, SIZE) about 0 and labels (slices, SIZE, SIZE), of the middle of each slice."""
    volume = Phantom(seed=0).patient(patient)[0]
    image, label = (torch.from_numpy(each.astype("float32")).movedim(-1, 0) for each in (volume.image, volume.label))
    top, left = ((side - 3 * SIZE) // 2 for side in label.shape[1:])
    image, label = (each[:, top : top + 3 * SIZE, left : left + 3 * SIZE] for each in (image, label))
    image = F.avg_pool2d((image - image.mean()) / image.std(), 3)
    return image[:, None], label[:, 1::3, 1::3].long()


def learned_by_heart(net, steps=100, learning_rate=1e-2):
    """Mean Dice of the foreground classes, in evaluation, of the volume that the network was trained on."""
    images, labels = labeled_slices()
    optimizer = torch.optim.Adam(net.train().parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(images), labels[:, None]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = net.eval()(images).argmax(1)
    scores = []
    for value in range(1, CLASSES):
        one, other = found == value, labels == value
        scores.append((2 * (one & other).sum() / (one.sum() + other.sum())).item())
    return sum(scores) / len(scores)
