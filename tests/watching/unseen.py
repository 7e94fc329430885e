"""Programs written before the rules that judge them: each has its own loop, as people write them."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from babysit.watching.watch import watch
from watching.loops import Recurrent, batches, convnet, curve, mlp, pictures, points, waves

SGD, Adam = torch.optim.SGD, torch.optim.Adam
Lambda = torch.optim.lr_scheduler.LambdaLR


def order():
    return torch.Generator().manual_seed(1)


def halves(data):
    """Training and validation examples."""
    x, y = data
    cut = 3 * len(x) // 4
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def score(model, data, criterion, mode=False):
    """Accuracy and loss on held-out examples, batch by batch."""
    model.train(mode)
    right, total, loss = 0, 0, 0.0
    with torch.no_grad():
        for x, y in zip(data[0].split(32), data[1].split(32), strict=True):
            output = model(x)
            loss += criterion(output, y).item() * len(x)
            right += (output.argmax(1) == y).sum().item() if y.dtype == torch.long else 0
            total += len(x)
    model.train()
    return right / total, loss / total


def train(
    model,
    data,
    optimizer,
    criterion=None,
    *,
    epochs=12,
    size=32,
    schedule=None,
    after=None,
    mode=False,
    shuffle=True,
    held_out=None,
):
    """A loop with a validation after every epoch; ``after`` is called when a step is done."""
    criterion = criterion or nn.CrossEntropyLoss()
    known, unknown = (data, held_out) if held_out is not None else halves(data)
    generator = order()
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(epochs):
            pairs = (
                batches(known, size, generator)
                if shuffle
                else zip(known[0].split(size), known[1].split(size), strict=True)
            )
            for x, y in pairs:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                if after is not None:
                    after(model)
                watching.step(loss)
            accuracy, val_loss = score(model, unknown, criterion, mode)
            classes = unknown[1].dtype == torch.long
            watching.epoch(val_loss=val_loss, **({"val_accuracy": accuracy} if classes else {}))
    return watching.report()


# Healthy ones


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


# Faulty ones: the fault, and the rules that name it.


def validated_in_training_mode():
    model = convnet()
    return train(model, pictures(), Adam(model.parameters(), 3e-3), mode=True)


def slow_running_statistics():
    model = convnet()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1e-4
    x, y = pictures()
    return train(model, (6 * x + 10, y), Adam(model.parameters(), 3e-3))


def label_among_the_inputs():
    x, y = points(spread=0.3)
    (known, unknown) = halves((torch.cat([x, y[:, None].float()], 1), y))
    unknown[0][:, -1] = 0
    model = mlp(9)
    return train(model, known, Adam(model.parameters(), 3e-3), held_out=unknown)


def one_label_for_all():
    x, y = points()
    model = mlp()
    return train(model, (x, torch.zeros_like(y)), Adam(model.parameters(), 1e-3))


def labels_shuffled_and_memorized():
    x, y = points(400)
    y = y[torch.randperm(len(y), generator=order())]
    model = mlp(8, 256, 4)
    return train(model, (x, y), Adam(model.parameters(), 3e-3), epochs=40)


def _counting(forget_right, forget_total):
    model = mlp()
    known, unknown = halves(points(spread=1.0))
    optimizer, criterion, generator = SGD(model.parameters(), 0.02), nn.CrossEntropyLoss(), order()
    right = total = 0
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(8):
            for x, y in batches(known, 32, generator):
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            right, total = right * forget_right, total * forget_total
            model.eval()
            with torch.no_grad():
                for x, y in zip(unknown[0].split(32), unknown[1].split(32), strict=True):
                    right += (model(x).argmax(1) == y).sum().item()
                    total += len(y)
            model.train()
            watching.epoch(val_accuracy=right / total)
    return watching.report()


def counts_never_reset():
    return _counting(1, 1)


def hits_never_reset():
    return _counting(1, 0)


def validation_rows_in_the_training_set():
    x, y = points(spread=0.8)
    model = mlp(8, 64, 4)
    return train(model, (x, y), Adam(model.parameters(), 3e-3), held_out=(x[384:], y[384:]))


def epochs_schedule_called_every_batch():
    model = mlp()
    optimizer = SGD(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.1)
    return train(model, points(spread=1.0), optimizer, schedule=schedule, epochs=15)


def far_too_much_decay():
    model = mlp()
    return train(model, points(), SGD(model.parameters(), 0.05, weight_decay=2.0), epochs=15)


def labels_left_on_another_device():
    model, criterion = mlp(), nn.CrossEntropyLoss()
    optimizer = SGD(model.parameters(), 0.1)
    x, y = points(64)
    watching = watch(model, optimizer, loss=criterion)
    try:
        with watching:
            for _ in range(10):
                optimizer.zero_grad()
                loss = criterion(model(x), y.to("meta"))
                loss.backward()
                optimizer.step()
                watching.step(loss)
    except RuntimeError:
        pass
    return watching.report()


class Probable(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return F.softmax(self.body(x), dim=1).clamp(1e-7, 1.0)


def softmax_clamped_before_cross_entropy():
    model = Probable()
    return train(model, points(), Adam(model.parameters(), 3e-3), epochs=20)


def sorted_by_class():
    x, y = points(1024, spread=1.0)
    known, unknown = halves((x, y))
    rows = known[1].argsort()
    model = mlp()
    return train(
        model, (known[0][rows], known[1][rows]), SGD(model.parameters(), 0.1), shuffle=False, held_out=unknown
    )


def momentum_of_nearly_one():
    model = mlp(6, 32, 1)
    return train(model, curve(), SGD(model.parameters(), 0.3, momentum=0.99), nn.MSELoss())


def relu_for_negative_targets():
    x, y = curve()
    model = nn.Sequential(mlp(6, 32, 1), nn.ReLU())
    return train(model, (x, y - 3), Adam(model.parameters(), 1e-2), nn.MSELoss())


def inputs_in_the_thousands():
    x, y = points()
    model = mlp()
    return train(model, (3000 * x, y), SGD(model.parameters(), 0.05))


def targets_of_the_batch_before():
    model, generator = Recurrent(), order()
    known, unknown = halves(waves(512))
    optimizer, criterion = Adam(model.parameters(), 3e-3), nn.CrossEntropyLoss()
    before = None
    with watch(model, optimizer, loss=criterion) as watching:
        for _ in range(12):
            for x, y in batches(known, 32, generator):
                target, before = (y if before is None else before), y
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()
                watching.step(loss)
            accuracy, val_loss = score(model, unknown, criterion)
            watching.epoch(val_accuracy=accuracy, val_loss=val_loss)
    return watching.report()


HEALTHY = (
    *(gan, triplets, one_cycle, moving_average, weights_averaged, plateau_then_fall, language_model),
    *(smoothed_labels, imbalance, backbone_frozen, twenty_examples, a_third_mislabelled, floor_of_noise),
    *(picture_autoencoder, sparse_and_wide, sum_of_targets_times_ten, train_accuracy_too),
    accumulated_in_half_precision,
)
FAULTY = {
    validated_in_training_mode: ("validated_in_training_mode",),
    slow_running_statistics: ("norm_mismatch",),
    label_among_the_inputs: ("label_in_inputs",),
    one_label_for_all: ("constant_labels",),
    labels_shuffled_and_memorized: ("memorized_only",),
    counts_never_reset: ("metric_not_reset",),
    hits_never_reset: ("metric_not_reset",),
    validation_rows_in_the_training_set: ("validation_in_training",),
    epochs_schedule_called_every_batch: ("learning_rate_zero",),
    far_too_much_decay: ("regularization_too_strong",),
    labels_left_on_another_device: ("loop_raised",),
    softmax_clamped_before_cross_entropy: ("softmax_before_cross_entropy",),
    sorted_by_class: ("data_not_shuffled",),
    momentum_of_nearly_one: ("oscillation", "learning_rate_too_high", "loss_exploded"),
    relu_for_negative_targets: ("dead_units", "constant_output", "bounded_output"),
    inputs_in_the_thousands: ("inputs_not_scaled", "learning_rate_too_high", "dead_units"),
    targets_of_the_batch_before: ("learned_nothing",),
}
