"""Complete training programs without a fault, each with its own loop, as users write them."""

from __future__ import annotations

import copy
import io

import torch
from torch import nn
from torch.nn import functional as F

from babysit import watch
from watching.loops import (
    SGD,
    Adam,
    batches,
    convnet,
    curve,
    halves,
    mlp,
    order,
    pictures,
    points,
    score,
    train,
    waves,
)

Lambda = torch.optim.lr_scheduler.LambdaLR


def gan():
    generator = order()
    make, judge = mlp(4, 32, 2), nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    first, second = (
        Adam(make.parameters(), 1e-3, betas=(0.5, 0.9)),
        Adam(judge.parameters(), 1e-3, betas=(0.5, 0.9)),
    )
    criterion = nn.BCEWithLogitsLoss()
    with watch(judge, second, loss=criterion) as on_judge, watch(make, first, loss=criterion) as on_make:
        for _ in range(300):
            real = torch.randn(64, 2, generator=generator) * torch.tensor([1.0, 0.3]) + 2
            fake = make(torch.randn(64, 4, generator=generator))
            second.zero_grad()
            ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
            loss = criterion(judge(real), ones) + criterion(judge(fake.detach()), zeros)
            loss.backward()
            second.step()
            on_judge.step(loss)
            first.zero_grad()
            loss = criterion(judge(fake), ones)
            loss.backward()
            first.step()
            on_make.step(loss)
    return on_judge.report(), on_make.report()


def drawn(pools, generator):
    return torch.stack([pool[torch.randint(len(pool), (), generator=generator)] for pool in pools])


def triplets():
    x, y = points(spread=1.5)
    model, generator = mlp(8, 32, 8), order()
    optimizer, criterion = Adam(model.parameters(), 1e-3), nn.TripletMarginLoss()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(250):
            rows = torch.randint(0, len(x), (96,), generator=generator)
            kind = y[rows]
            same = [torch.where(y == each)[0] for each in range(4)]
            other = [torch.where(y != each)[0] for each in range(4)]
            near, far = (drawn([pool[k] for k in kind.tolist()], generator) for pool in (same, other))
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), model(x[near]), model(x[far]))
            loss.backward()
            optimizer.step()
            watching.step(loss)
    return watching.report()


def one_cycle():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12 * 12)
    return train(model, points(), optimizer, schedule=schedule)


def moving_average():
    """The validation is made with an exponential moving average of the weights."""
    model = convnet()
    shadow = copy.deepcopy(model)

    def follow(net):
        with torch.no_grad():
            for mine, other in zip(shadow.parameters(), net.parameters(), strict=True):
                mine.lerp_(other, 0.05)
            for mine, other in zip(shadow.buffers(), net.buffers(), strict=True):
                mine.copy_(other)

    (known, unknown), generator = halves(pictures()), order()
    optimizer, criterion = Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(12):
            for x, y in batches(known, 32, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                follow(model)
                watching.step(loss)
            accuracy, val_loss = score(shadow, unknown, criterion)
            watching.epoch(val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


def weights_averaged():
    """SWA: the averaged model's batch norm is estimated anew under no_grad in training mode."""
    model = convnet()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    (known, unknown), generator = halves(pictures()), order()
    optimizer, criterion = SGD(model.parameters(), 0.05, momentum=0.9), nn.CrossEntropyLoss()
    with watch(model, optimizer, loss=criterion) as watching:
        for epoch in range(12):
            for x, y in batches(known, 32, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            if epoch >= 6:
                averaged.update_parameters(model)
                torch.optim.swa_utils.update_bn(known[0].split(32), averaged)
            accuracy, val_loss = score(model, unknown, criterion)
            watching.epoch(val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


def plateau_then_fall():
    """Products of three signs: nothing can be learned at first order."""
    generator = order()
    x = torch.randn(1024, 3, generator=generator).sign() + 0.1 * torch.randn(1024, 3, generator=generator)
    y = (x.prod(1) > 0).long()
    model = mlp(3, 64, 2, activation=nn.Tanh)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(0.5)
    return train(model, (x, y), SGD(model.parameters(), 0.1, momentum=0.9), epochs=30)


class Speaker(nn.Module):
    """A small language model whose embedding is its output layer too."""

    def __init__(self, words=12, width=24):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 48, dropout=0.1, batch_first=True, norm_first=True)
        self.place = nn.Parameter(0.1 * torch.randn(16, width))
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        hidden = self.embed(tokens) + self.place[: tokens.shape[1]]
        return self.head(self.block(hidden, src_mask=mask, is_causal=True))


def language_model():
    generator = order()
    start, pace = (
        torch.randint(0, 12, (512, 1), generator=generator),
        torch.randint(1, 4, (512, 1), generator=generator),
    )
    text = (start + pace * torch.arange(13)) % 12
    model = Speaker()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = Lambda(optimizer, lambda step: min(1.0, (step + 1) / 50))
    with watch(model, optimizer) as watching:
        for _ in range(15):
            for rows in torch.randperm(448, generator=generator).split(32):
                optimizer.zero_grad(set_to_none=True)
                loss = F.cross_entropy(model(text[rows, :-1]).flatten(0, 1), text[rows, 1:].flatten())
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                watching.step(loss)
            model.eval()
            with torch.no_grad():
                val_loss = F.cross_entropy(
                    model(text[448:, :-1]).flatten(0, 1), text[448:, 1:].flatten()
                ).item()
            model.train()
            watching.epoch(val_loss=val_loss)
    return watching.report()


def smoothed_labels():
    model = mlp()
    criterion = nn.CrossEntropyLoss(label_smoothing=0.2)
    return train(model, points(), Adam(model.parameters(), 3e-3), criterion, epochs=15)


def imbalance():
    x, y = points(2048, classes=2, spread=1.0)
    keep = (y == 0) | (torch.rand(len(y), generator=order()) < 0.05)
    model = mlp(8, 32, 2)
    return train(model, (x[keep], y[keep]), Adam(model.parameters(), 3e-3))


def backbone_frozen():
    backbone = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU())
    for value in backbone.parameters():
        value.requires_grad = False
    backbone.eval()
    model = nn.Sequential(backbone, nn.Dropout(0.2), nn.Linear(64, 4))
    return train(model, points(), Adam(model[2].parameters(), 1e-2), epochs=15)


def twenty_examples():
    """Few examples, learned by heart: the training loss is zero long before the end."""
    model = mlp()
    return train(model, points(40, spread=2.5), Adam(model.parameters(), 1e-2), size=8, epochs=60)


def a_third_mislabelled():
    x, y = points(2048, spread=1.5)
    wrong = torch.rand(len(y), generator=order()) < 0.33
    model = mlp()
    y = torch.where(wrong, torch.randint(0, 4, (len(y),), generator=order()), y)
    return train(model, (x, y), Adam(model.parameters(), 1e-3, weight_decay=1e-4), epochs=8, size=64)


def floor_of_noise():
    model = mlp(6, 16, 1)
    return train(
        model, curve(2048, noise=2.0), Adam(model.parameters(), 1e-3), nn.MSELoss(), epochs=8, size=64
    )


def picture_autoencoder():
    x, _ = pictures(512)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1)),
    )
    return train(model, (x, x), Adam(model.parameters(), 3e-3), nn.MSELoss())


def sparse_and_wide():
    model = mlp(8, 256, 4)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.bias.fill_(-0.7)
    return train(model, points(), Adam(model.parameters(), 1e-3))


def sum_of_targets_times_ten():
    model = mlp(6, 64, 1)
    criterion = nn.MSELoss(reduction="sum")
    return train(model, curve(1024, scale=10.0), Adam(model.parameters(), 3e-3), criterion, epochs=25)


def train_accuracy_too():
    """Accuracies of the training and of the validation examples, both in eval mode, in every epoch."""
    model = convnet()
    known, unknown = halves(pictures())
    optimizer, criterion, generator = Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss(), order()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(12):
            for x, y in batches(known, 16, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            seen, _ = score(model, known, criterion)
            accuracy, val_loss = score(model, unknown, criterion)
            watching.epoch(train_accuracy=seen, val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


def accumulated_in_half_precision():
    model, generator = mlp(), order()
    known, unknown = halves(points())
    optimizer, criterion = Adam(model.parameters(), 5e-3), nn.CrossEntropyLoss()
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(15):
            for number, (x, y) in enumerate(batches(known, 16, generator), 1):
                with torch.autocast("cpu", torch.bfloat16):
                    loss = criterion(model(x), y) / 4
                scaler.scale(loss).backward()
                if number % 4 == 0:
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
                watching.step(loss)
            accuracy, _ = score(model, unknown, criterion)
            watching.epoch(val_accuracy=accuracy)
    return watching.report()


def best_weights_kept():
    """The best model is copied and saved whole whenever validation improves."""
    model, generator = convnet(), order()
    known, unknown = halves(pictures())
    optimizer, criterion = Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    best, kept = 0.0, None
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(12):
            for x, y in batches(known, 24, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss.item())
            accuracy, _ = score(model, unknown, criterion)
            if accuracy >= best:
                best, kept = accuracy, copy.deepcopy(model)
                torch.save(model, io.BytesIO())
            watching.epoch(val_accuracy=accuracy)
    kept(unknown[0])
    return watching.report()


def policy_gradient():
    """A bandit: the loss is a reward times a log-probability, and means nothing by itself."""
    model, generator = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3)), order()
    optimizer = Adam(model.parameters(), 1e-2)
    with watch(model, optimizer) as watching:
        for _ in range(300):
            state = torch.randn(32, 4, generator=generator)
            scores = model(state).log_softmax(1)
            action = torch.multinomial(scores.exp(), 1, generator=generator)
            reward = (action[:, 0] == state[:, :3].argmax(1)).float()
            loss = -(scores.gather(1, action)[:, 0] * (reward - reward.mean())).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watching.step(loss)
    return watching.report()


def huber_with_plateau_scheduler():
    model = mlp(6, 48, 1)
    optimizer = Adam(model.parameters(), 5e-3)
    known, unknown = halves(curve(800, noise=0.5, scale=3.0))
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.3)
    criterion, generator = nn.SmoothL1Loss(), order()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(20):
            for x, y in batches(known, 50, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            _, val_loss = score(model, unknown, criterion)
            schedule.step(val_loss)
            watching.epoch(val_loss=val_loss)
    return watching.report()


def distillation():
    """A frozen teacher, a student, and the divergence of their answers."""
    teacher, student, generator = mlp(8, 64, 4), mlp(8, 16, 4), order()
    x, y = points()
    fit_teacher = Adam(teacher.parameters(), 1e-2)
    for _ in range(60):
        fit_teacher.zero_grad()
        F.cross_entropy(teacher(x), y).backward()
        fit_teacher.step()
    teacher.eval().requires_grad_(False)
    optimizer = Adam(student.parameters(), 5e-3)
    with watch(student, optimizer) as watching:
        for _ in range(12):
            for rows, _ in batches((x, y), 32, generator):
                loss = F.kl_div(student(rows).log_softmax(1), teacher(rows).softmax(1), reduction="batchmean")
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
                optimizer.step()
                watching.step(loss)
    return watching.report()


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(1, 20, batch_first=True, bidirectional=True), nn.Linear(40, 3)

    def forward(self, x, lengths=None):
        output, _ = self.cell(x)
        return self.head(output.mean(1))


def gru_with_clipping():
    model, generator = Gated(), order()
    known, unknown = halves(waves(400))
    optimizer, criterion = torch.optim.RMSprop(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(15):
            for x, y in batches(known, 20, generator):
                optimizer.zero_grad()
                loss = criterion(model(x, lengths=None), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                watching.step(loss)
            accuracy, val_loss = score(model, unknown, criterion)
            watching.epoch(val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


def small_batches_in_batch_norm():
    model = convnet()
    return train(model, pictures(), Adam(model.parameters(), 1e-3), size=4, epochs=8)


def multi_label():
    x, _ = points(800)
    weights = torch.randn(8, 5, generator=order())
    y = ((x @ weights) > 1.0).float()
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 5))
    return train(model, (x, y), torch.optim.AdamW(model.parameters(), 2e-3), nn.BCEWithLogitsLoss())


def learned_in_one_epoch():
    """An easy task: everything is right after the first epoch, and stays so."""
    model = mlp()
    return train(model, points(2048, spread=4.0), Adam(model.parameters(), 5e-3), epochs=6)


def few_binary_features():
    """Eight features of 0 and 1: many rows are alike, some of them in both sets."""
    generator = order()
    x = torch.randint(0, 2, (1024, 8), generator=generator).float()
    y = ((x[:, 0] + x[:, 3] + x[:, 5]) > 1).long()
    model = mlp(8, 32, 2)
    return train(model, (x, y), Adam(model.parameters(), 3e-3))


def last_batch_of_three():
    model = mlp()
    return train(
        model, points(515), SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True), size=64, epochs=15
    )


HEALTHY = (
    *(gan, triplets, one_cycle, moving_average, weights_averaged, plateau_then_fall, language_model),
    *(smoothed_labels, imbalance, backbone_frozen, twenty_examples, a_third_mislabelled, floor_of_noise),
    *(picture_autoencoder, sparse_and_wide, sum_of_targets_times_ten, train_accuracy_too),
    accumulated_in_half_precision,
    *(best_weights_kept, policy_gradient, huber_with_plateau_scheduler, distillation, gru_with_clipping),
    *(
        small_batches_in_batch_norm,
        multi_label,
        learned_in_one_epoch,
        few_binary_features,
        last_batch_of_three,
    ),
)
