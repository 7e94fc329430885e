"""From forums and repositories: healthy programs that look unusual, from examples and threads."""

from __future__ import annotations

from itertools import islice

import torch
import torch.nn.functional as F
from tests.faults.forum_networks import LeNet, iris, tones
from tests.faults.rebuilt_programs import Job, adam, batched, endless, healthy, sgd
from tests.faults.zoo import diabetes, digits
from torch import nn

EXAMPLES = "https://github.com/pytorch/examples/tree/main/"
FORUM = "https://discuss.pytorch.org/t/"


@healthy(EXAMPLES + "mnist")
def mnist_with_adadelta_at_one():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)
            self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
            self.fc1, self.fc2 = nn.Linear(32 * 4, 64), nn.Linear(64, 10)

        def forward(self, x):
            x = F.relu(self.conv2(F.relu(self.conv1(x))))
            x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
            x = self.dropout2(F.relu(self.fc1(x)))
            return F.log_softmax(self.fc2(x), dim=1)

    net = Net()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    return Job(net, F.nll_loss, batched(*digits(image=True), size=64), optimizer)


@healthy(EXAMPLES + "vae")
def variational_autoencoder_with_summed_loss():
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(64, 40), nn.Linear(40, 8), nn.Linear(40, 8)
            self.fc3, self.fc4 = nn.Linear(8, 40), nn.Linear(40, 64)

        def forward(self, x):
            h = F.relu(self.fc1(x.view(-1, 64)))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    def criterion(out, x):
        recon, mu, logvar = out
        error = F.binary_cross_entropy(recon, x.view(-1, 64), reduction="sum")
        return error - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    x = digits(raw=True, image=True)[0] / 16
    net = VAE()
    return Job(net, criterion, batched(x, x, size=128), adam(net))


@healthy(EXAMPLES + "word_language_model")
def language_model_at_a_rate_of_twenty():
    class RNNModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.encoder = nn.Dropout(0.2), nn.Embedding(12, 32)
            self.rnn, self.decoder = nn.LSTM(32, 32, 2, dropout=0.2, batch_first=True), nn.Linear(32, 12)
            self.decoder.weight = self.encoder.weight
            nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
            nn.init.zeros_(self.decoder.bias)

        def forward(self, tokens):
            out, _ = self.rnn(self.drop(self.encoder(tokens)))
            return F.log_softmax(self.decoder(self.drop(out)).view(-1, 12), dim=1)

    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            job.model.zero_grad()
            loss = job.loss(job.model(x), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(job.model.parameters(), 0.25)
            job.optimizer.step()
            on_step(loss)

    def criterion(out, y):
        return F.nll_loss(out, y.reshape(-1))

    text = torch.cumsum(torch.randint(1, 4, (6000,)), 0) % 12
    rows = text[:5980].view(-1, 20)
    net = RNNModel()
    following = torch.cat([rows[:, 1:], (rows[:, -1:] + 2) % 12], 1)
    return Job(net, criterion, batched(rows, following, size=20), sgd(net, 20.0), loop)


@healthy(EXAMPLES + "dcgan")
def dcgan_discriminator():
    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(
                *(nn.Conv2d(1, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)),
                *(
                    nn.Conv2d(16, 32, 4, 2, 1, bias=False),
                    nn.BatchNorm2d(32),
                    nn.LeakyReLU(0.2, inplace=True),
                ),
                *(nn.Conv2d(32, 1, 2, 1, 0, bias=False), nn.Sigmoid()),
            )

        def forward(self, x):
            return self.main(x).view(-1, 1).squeeze(1)

    def weights_init(m):
        if isinstance(m, nn.Conv2d):
            nn.init.normal_(m.weight, 0.0, 0.02)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, 1.0, 0.02)
            nn.init.zeros_(m.bias)

    real = digits(raw=True, image=True)[0][:500] / 8 - 1
    fake = torch.tanh(torch.randn(500, 1, 8, 8))
    x, y = torch.cat([real, fake]), torch.cat([torch.ones(500), torch.zeros(500)])
    net = Discriminator()
    net.apply(weights_init)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999))
    return Job(net, nn.BCELoss(), batched(x, y, size=64), optimizer)


@healthy(EXAMPLES + "super_resolution")
def super_resolution_with_orthogonal_weights():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 32, 5, 1, 2), nn.Conv2d(32, 16, 3, 1, 1)
            self.conv3, self.shuffle = nn.Conv2d(16, 4, 3, 1, 1), nn.PixelShuffle(2)
            for conv, gain in ((self.conv1, 2**0.5), (self.conv2, 2**0.5), (self.conv3, 1.0)):
                nn.init.orthogonal_(conv.weight, gain)

        def forward(self, x):
            return self.shuffle(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))

    image = digits(raw=True, image=True)[0] / 16
    net = Net()
    return Job(net, nn.MSELoss(), batched(F.avg_pool2d(image, 2), image, size=64), adam(net))


@healthy(EXAMPLES + "time_sequence_prediction")
def sines_by_lbfgs_in_double():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, 16), nn.LSTMCell(16, 16), nn.Linear(16, 1)

        def forward(self, wave):
            h1 = c1 = h2 = c2 = torch.zeros(len(wave), 16, dtype=torch.double)
            outputs = []
            for value in wave.split(1, dim=1):
                h1, c1 = self.lstm1(value, (h1, c1))
                h2, c2 = self.lstm2(h1, (h2, c2))
                outputs.append(self.linear(h2))
            return torch.cat(outputs, dim=1)

    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), min(steps, 12)):
            last = []

            def closure(x=x, y=y, last=last):
                job.optimizer.zero_grad()
                loss = job.loss(job.model(x), y)
                loss.backward()
                last.append(loss)
                return loss

            job.optimizer.step(closure)
            on_step(last[0])

    time = torch.arange(31, dtype=torch.double)
    waves = torch.sin(time / 4 + 6.28 * torch.rand(40, 1, dtype=torch.double))
    net = Sequence().double()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.8, max_iter=8)
    return Job(net, nn.MSELoss(), [(waves[:, :-1], waves[:, 1:])], optimizer, loop)


@healthy(EXAMPLES + "regression")
def polynomial_with_smooth_l1():
    weight, shift = 5 * torch.randn(4, 1), 5 * torch.randn(1)
    x = torch.randn(1000, 1).clamp(-1.5, 1.5)
    powers = torch.cat([x**i for i in range(1, 5)], 1)
    net = nn.Linear(4, 1)
    return Job(net, F.smooth_l1_loss, batched(powers, powers @ weight + shift), sgd(net, 0.1))


@healthy(EXAMPLES + "siamese_network")
def siamese_pairs_of_digits():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = (
                nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten()),
                nn.Linear(1152, 1),
            )

        def forward(self, pair):
            both = torch.cat([self.conv(pair[:, :1]), self.conv(pair[:, 1:])], 1)
            return torch.sigmoid(self.fc(both)).squeeze(1)

    x, y = digits(image=True)
    partner = torch.randperm(len(y))
    keep = (y == y[partner]) | (torch.rand(len(y)) < 0.15)
    pairs, same = torch.cat([x, x[partner]], 1)[keep], (y == y[partner])[keep].float()
    net = Siamese()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    return Job(net, nn.BCELoss(), batched(pairs, same), optimizer)


@healthy(FORUM + "it-seems-my-cnn-model-does-not-train/22044")
def concordance_correlation_as_loss():
    def criterion(out, y):
        a, b = out - out.mean(), y - y.mean()
        apart = (out.mean() - y.mean()) ** 2
        return 1 - 2 * (a * b).mean() / (a.square().mean() + b.square().mean() + apart)

    x, _ = tones(600)
    y = x.abs().mean(1) * 5 + x[:, 3]
    body = nn.Sequential(nn.Conv1d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten())
    net = nn.Sequential(nn.Unflatten(1, (1, 24)), body, nn.Linear(192, 1), nn.Flatten(0))
    return Job(net, criterion, batched(x, y, size=64), adam(net))


@healthy("https://github.com/Project-MONAI/MONAI/issues/807")
def small_unet_with_dice():
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1 = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
            )
            self.down2 = nn.Sequential(
                nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
            )
            self.up, self.final = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 1, 1)

        def forward(self, x):
            first = self.down1(x)
            second = self.up(self.down2(F.max_pool2d(first, 2)))
            return self.final(torch.cat([second, first], 1))

    def dice(out, mask, smooth=1.0):
        p = torch.sigmoid(out).flatten(1)
        shared = (p * mask.flatten(1)).sum(1)
        return (1 - (2 * shared + smooth) / (p.sum(1) + mask.flatten(1).sum(1) + smooth)).mean()

    mask = torch.zeros(256, 1, 16, 16)
    for i, (row, column) in enumerate(torch.randint(1, 11, (256, 2)).tolist()):
        mask[i, 0, row : row + 4, column : column + 4] = 1
    net = UNet()
    return Job(net, dice, batched(mask + 0.4 * torch.randn_like(mask), mask, size=16), adam(net))


@healthy("https://en.wikipedia.org/wiki/Quantile_regression")
def three_quantiles_of_one_target():
    levels = torch.tensor([0.1, 0.5, 0.9])

    def pinball(out, y):
        gap = y - out
        return torch.maximum(levels * gap, (levels - 1) * gap).mean()

    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
    return Job(net, pinball, batched(*diabetes()), adam(net, 3e-3))


@healthy(EXAMPLES + "reinforcement_learning")
def bandit_by_policy_gradient():
    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.affine1, self.dropout, self.affine2 = nn.Linear(4, 64), nn.Dropout(0.3), nn.Linear(64, 3)

        def forward(self, x):
            return F.log_softmax(self.affine2(F.relu(self.dropout(self.affine1(x)))), dim=1)

    def criterion(log_p, taken):
        action, reward = taken[:, 0].long(), taken[:, 1]
        return (-log_p.gather(1, action[:, None])[:, 0] * reward).sum()

    x, y = iris()
    rows, action = torch.randint(150, (1200,)), torch.randint(3, (1200,))
    reward = (action == y[rows]).float()
    net = Policy()
    return Job(net, criterion, batched(x[rows], torch.stack([action.float(), reward], 1)), adam(net, 1e-2))


@healthy("https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html")
def triplets_of_digits():
    class Embedder(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 16))

        def forward(self, three):
            return F.normalize(self.net(three), dim=-1)

    distance = nn.TripletMarginLoss(margin=0.3)
    x, y = digits()
    picks = [torch.nonzero(y == label)[:, 0] for label in range(10)]
    rows = []
    for anchor in range(900):
        label = int(y[anchor])
        other = (label + 1 + anchor % 9) % 10
        rows.append([anchor, int(picks[label][anchor % 150]), int(picks[other][anchor % 150])])
    net = Embedder()
    triples = x[torch.tensor(rows)]

    def criterion(out, _):
        return distance(out[:, 0], out[:, 1], out[:, 2])

    return Job(net, criterion, batched(triples, torch.zeros(900)), adam(net))


@healthy("https://en.wikipedia.org/wiki/Matrix_factorization_(recommender_systems)")
def ratings_by_matrix_factorization():
    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.user, self.item = nn.Embedding(60, 8), nn.Embedding(40, 8)
            self.user_bias, self.item_bias = nn.Embedding(60, 1), nn.Embedding(40, 1)
            for table in (self.user, self.item):
                nn.init.normal_(table.weight, std=0.1)

        def forward(self, ids):
            u, i = ids[:, 0], ids[:, 1]
            dot = (self.user(u) * self.item(i)).sum(1)
            return 3.5 + dot + self.user_bias(u)[:, 0] + self.item_bias(i)[:, 0]

    ids = torch.stack([torch.randint(60, (4000,)), torch.randint(40, (4000,))], 1)
    p, q = torch.randn(60, 3), torch.randn(40, 3)
    rating = (3.5 + 0.6 * (p[ids[:, 0]] * q[ids[:, 1]]).sum(1)).clamp(1, 5)
    net = Factors()
    return Job(net, nn.MSELoss(), batched(ids, rating, size=128), adam(net, 1e-2))


@healthy(FORUM + "loss-not-decreasing-in-lstm-network/159152")
def lstm_with_dense_layers_from_a_list():
    class Seq2Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self._dense = []
            self.lstm = nn.LSTM(1, 48, batch_first=True)
            for name, value in self.lstm.named_parameters():
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(value)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(value)
                else:
                    nn.init.zeros_(value)
            for inputs, outputs in ((48, 48), (48, 6)):
                layer = nn.Linear(inputs, outputs)
                nn.init.xavier_uniform_(layer.weight)
                self._dense += [layer, nn.ReLU()]
            self.decoder = nn.Sequential(*self._dense[:-1])

        def forward(self, x):
            out, _ = self.lstm(x)
            return self.decoder(out[:, -1, :])

    series = torch.sin(torch.arange(900) * 0.25) + 0.05 * torch.randn(900)
    windows = series.unfold(0, 30, 1)
    net = Seq2Dense()
    return Job(net, nn.MSELoss(), batched(windows[:, :24, None], windows[:, 24:]), adam(net))


@healthy(FORUM + "cross-entropy-loss-is-not-decreasing/43814")
def lenet_with_smoothed_labels_and_a_frozen_layer():
    net = LeNet()
    for param in net.conv1.parameters():
        param.requires_grad = False
    held = [param for param in net.parameters() if param.requires_grad]
    optimizer = torch.optim.AdamW(held, lr=2e-3, weight_decay=0.05)
    return Job(net, nn.CrossEntropyLoss(label_smoothing=0.2), batched(*digits(image=True)), optimizer)
