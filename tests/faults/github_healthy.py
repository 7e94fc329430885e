"""From GitHub's issues: healthy programs that look unusual; most were questioned and proved right."""

from __future__ import annotations

import copy
from itertools import islice

import torch
import torch.nn.functional as F
from tests.faults.forum_networks import LeNet, cancer, iris, tones
from tests.faults.github_losses import TinyUNet, squares
from tests.faults.rebuilt_programs import Job, Rows, adam, batched, endless, healthy, one_hot, sgd
from tests.faults.zoo import diabetes, digits, wine
from torch import nn

GITHUB = "https://github.com/"


@healthy(GITHUB + "amazon-science/video-contrastive-learning/issues/5")
def contrast_whose_labels_are_all_zero():
    class Contrast(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 16))

        def forward(self, pair):
            query, key = (F.normalize(self.encoder(half), dim=1) for half in pair.chunk(2, dim=1))
            positive = (query * key).sum(1, keepdim=True)
            others = query @ key.T - 2 * torch.eye(len(query))
            return torch.cat([positive, others], 1) / 0.1

    shared = torch.randn(640, 32)
    views = torch.cat([shared + 0.3 * torch.randn(640, 32), shared + 0.3 * torch.randn(640, 32)], 1)
    net = Contrast()
    labels = torch.zeros(640, dtype=torch.long)
    return Job(net, nn.CrossEntropyLoss(), batched(views, labels, drop_last=True), adam(net))


@healthy(GITHUB + "marco-rudolph/differnet/issues/10")
def flow_whose_loss_turns_negative():
    class Coupling(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 2))

        def forward(self, x):
            kept, moved = x.chunk(2, dim=1)
            scale, shift = self.net(kept).chunk(2, dim=1)
            scale = torch.tanh(scale)
            return torch.cat([moved * scale.exp() + shift, kept], 1), scale.sum(1)

    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Coupling() for _ in range(4))

        def forward(self, x):
            jac = torch.zeros(len(x))
            for block in self.blocks:
                x, added = block(x)
                jac = jac + added
            return x, jac

    def get_loss(out, _):
        z, jac = out
        return torch.mean(0.5 * torch.sum(z**2, dim=1) - jac) / z.shape[1]

    angle = 6.28 * torch.rand(800)
    ring = torch.stack([angle.cos(), angle.sin()], 1) * 0.2 + 0.02 * torch.randn(800, 2)
    net = Flow()
    return Job(net, get_loss, batched(ring, torch.zeros(800)), adam(net))


@healthy(GITHUB + "ethanhe42/KL-Loss/issues/3")
def regression_with_its_own_variance():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.mean, self.alpha = nn.Linear(1, 48), nn.Linear(48, 1), nn.Linear(48, 1)

        def forward(self, x):
            h = torch.relu(self.body(x))
            return self.mean(h), self.alpha(h)

    def criterion(out, y):
        mean, alpha = out
        return (torch.exp(-alpha) * (mean - y) ** 2 / 2 + alpha / 2).mean()

    x = torch.rand(600, 1) * 2 - 1
    net = Both()
    return Job(net, criterion, batched(x, 0.3 * x + 0.02 * torch.randn(600, 1)), adam(net, 3e-3))


@healthy(GITHUB + "junqiangchen/LUNA16-Lung-Nodule-Analysis-2016-Challenge/issues/15")
def negative_dice():
    def criterion(out, target):
        shared = (out * target).sum((1, 2, 3))
        return -((2 * shared + 1) / (out.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)).mean()

    net = TinyUNet(torch.sigmoid)
    return Job(net, criterion, batched(*squares(), size=16), adam(net, 3e-3))


@healthy(GITHUB + "JIA-Lab-research/PFENet/issues/10")
def frozen_backbone_in_eval_mode():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(1, 24, 3), nn.BatchNorm2d(24), nn.ReLU())
            for param in self.backbone.parameters():
                param.requires_grad = False
            self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(24 * 36, 10))

        def train(self, mode=True):
            super().train(mode)
            self.backbone.eval()
            return self

        def forward(self, x):
            with torch.no_grad():
                features = self.backbone(x)
            return self.head(features)

    net = Net().train()
    optimizer = torch.optim.SGD(net.head.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), optimizer)


@healthy(GITHUB + "philtabor/Deep-Q-Learning-Paper-To-Code/issues/9", checkable=False)
def q_network_beside_its_target():
    def loop(job, steps, on_step):
        target = copy.deepcopy(job.model)
        for step, (row, reward) in enumerate(islice(endless(job.batches), steps)):
            state, following, action = row[:, :4], row[:, 4:8], row[:, 8:].long()
            if step % 20 == 0:
                target.load_state_dict(job.model.state_dict())
            job.optimizer.zero_grad()
            chosen = job.model(state).gather(1, action)[:, 0]
            with torch.no_grad():
                best = reward + 0.5 * target(following).max(1)[0]
            loss = job.loss(chosen, best)
            loss.backward()
            for param in job.model.parameters():
                param.grad.data.clamp_(-1, 1)
            job.optimizer.step()
            on_step(loss)

    state, action = torch.randn(800, 4), torch.randint(3, (800, 1))
    reward = (state @ torch.randn(4, 3)).gather(1, action)[:, 0]
    rows = torch.cat([state, 0.9 * state + 0.1 * torch.randn(800, 4), action.float()], 1)
    net = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 3))
    optimizer = torch.optim.RMSprop(net.parameters(), lr=2e-3)
    return Job(net, nn.SmoothL1Loss(), batched(rows, reward, size=64), optimizer, loop)


@healthy(GITHUB + "martinarjovsky/WassersteinGAN", checkable=False)
def wasserstein_critic_with_clipped_weights():
    def loop(job, steps, on_step):
        generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
        of_generator = torch.optim.RMSprop(generator.parameters(), lr=5e-4)
        for step, (z, real) in enumerate(islice(endless(job.batches), steps)):
            job.optimizer.zero_grad()
            loss = job.model(generator(z).detach()).mean() - job.model(real).mean()
            loss.backward()
            job.optimizer.step()
            for param in job.model.parameters():
                param.data.clamp_(-0.1, 0.1)
            on_step(loss)
            if step % 5 == 4:
                of_generator.zero_grad()
                (-job.model(generator(z)).mean()).backward()
                of_generator.step()

    real = torch.randn(512, 2) * 0.5 + torch.tensor([2.0, -1.0])
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.RMSprop(net.parameters(), lr=5e-4)
    batches = batched(torch.randn(512, 4), real, size=64)
    return Job(net, lambda out, y: out.mean() - y.mean(), batches, optimizer, loop)


@healthy(GITHUB + "maziarraissi/PINNs")
def oscillator_from_its_equation():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.u = nn.Sequential(
                nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1)
            )

        def forward(self, t):
            return self.u(t)

    def loop(job, steps, on_step):
        for t, _ in islice(endless(job.batches), steps):
            t = t.clone().requires_grad_(True)
            job.optimizer.zero_grad()
            u = job.model(t)
            du = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
            ddu = torch.autograd.grad(du.sum(), t, create_graph=True)[0]
            start = job.model(torch.zeros(1, 1))
            loss = job.loss(ddu + u, torch.zeros_like(u)) + 10 * job.loss(start, torch.ones(1, 1))
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    t = torch.rand(512, 1) * 3
    net = Net()
    return Job(net, nn.MSELoss(), batched(t, torch.cos(t), size=128), adam(net, 3e-3), loop)


@healthy(GITHUB + "majumderb/rezero")
def residual_branches_that_start_at_zero():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.resweight = nn.Linear(48, 48), nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x + self.resweight * torch.relu(self.linear(x))

    net = nn.Sequential(nn.Linear(64, 48), *(Block() for _ in range(6)), nn.Linear(48, 10))
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.02)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), optimizer)


@healthy(GITHUB + "microsoft/LoRA")
def adapters_of_low_rank():
    class LoRA(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base
            for param in base.parameters():
                param.requires_grad = False
            self.lora_A = nn.Parameter(0.2 * torch.randn(4, base.in_features))
            self.lora_B = nn.Parameter(torch.zeros(base.out_features, 4))

        def forward(self, x):
            return self.base(x) + x @ self.lora_A.T @ self.lora_B.T * 2.0

    net = nn.Sequential(LoRA(nn.Linear(64, 64)), nn.GELU(), LoRA(nn.Linear(64, 10)))
    held = [param for param in net.parameters() if param.requires_grad]
    optimizer = torch.optim.AdamW(held, lr=1e-2, weight_decay=0.01)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), optimizer)


@healthy("https://docs.pytorch.org/docs/stable/notes/amp_examples.html")
def accumulation_under_autocast_with_clipping():
    def loop(job, steps, on_step):
        schedule = torch.optim.lr_scheduler.OneCycleLR(job.optimizer, 5e-3, total_steps=steps // 4 + 1)
        for i, (x, y) in enumerate(islice(endless(job.batches), steps)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = job.loss(job.model(x), y) / 4
            loss.backward()
            on_step(loss * 4)
            if (i + 1) % 4 == 0:
                torch.nn.utils.clip_grad_norm_(job.model.parameters(), 1.0)
                job.optimizer.step()
                job.optimizer.zero_grad(set_to_none=True)
                schedule.step()

    net = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.SiLU(), nn.Linear(64, 10))
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(), size=16), adam(net), loop)


@healthy(GITHUB + "davda54/sam")
def sharpness_aware_pairs_of_steps():
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            loss = job.loss(job.model(x), y)
            loss.backward()
            norm = torch.stack([p.grad.norm() for p in job.model.parameters()]).norm()
            moves = [0.05 * p.grad / (norm + 1e-12) for p in job.model.parameters()]
            with torch.no_grad():
                for p, move in zip(job.model.parameters(), moves, strict=True):
                    p.add_(move)
            job.optimizer.zero_grad()
            job.loss(job.model(x), y).backward()
            with torch.no_grad():
                for p, move in zip(job.model.parameters(), moves, strict=True):
                    p.sub_(move)
            job.optimizer.step()
            job.optimizer.zero_grad()
            on_step(loss)

    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), sgd(net, 0.05, momentum=0.9), loop)


@healthy("https://arxiv.org/abs/1705.07115")
def tasks_weighed_by_their_uncertainty():
    class Weighed(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_vars = nn.Parameter(torch.zeros(2))

        def forward(self, out, on_step):
            a, b = out
            first = torch.exp(-self.log_vars[0]) * F.mse_loss(a, on_step[:, :1]) + self.log_vars[0]
            second = torch.exp(-self.log_vars[1]) * F.cross_entropy(b, on_step[:, 1].long())
            return first + second + self.log_vars[1]

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(3, 32), nn.ReLU())
            self.size, self.kind = nn.Linear(32, 1), nn.Linear(32, 3)

        def forward(self, x):
            h = self.trunk(x)
            return self.size(h), self.kind(h)

    x, y = iris()
    net, criterion = Shared(), Weighed()
    optimizer = torch.optim.Adam([*net.parameters(), *criterion.parameters()], lr=5e-3)
    on_step = torch.cat([x[:, 3:], y[:, None].float()], 1)
    return Job(net, criterion, batched(x[:, :3], on_step), optimizer)


@healthy(GITHUB + "facebookresearch/mixup-cifar10")
def mixed_images_with_soft_labels():
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            share = float(torch.distributions.Beta(1.0, 1.0).sample())
            order = torch.randperm(len(x))
            out = job.model(share * x + (1 - share) * x[order])
            loss = share * job.loss(out, y) + (1 - share) * job.loss(out, y[order])
            job.optimizer.zero_grad()
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    net = LeNet()
    optimizer = sgd(net, 0.05, momentum=0.9, weight_decay=1e-4)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), optimizer, loop)


@healthy(GITHUB + "itakurah/focal-loss-pytorch")
def rare_class_with_focal_loss():
    x = torch.randn(1500, 8)
    score = x @ torch.randn(8)
    y = (score > score.quantile(0.95)).float()

    def focal(out, target):
        bce = F.binary_cross_entropy_with_logits(out.squeeze(1), target, reduction="none")
        return ((1 - torch.exp(-bce)) ** 2 * bce).mean()

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    return Job(net, focal, batched(x, y, size=64), adam(net, 3e-3))


@healthy(GITHUB + "kazuto1011/svm-pytorch")
def support_vectors_from_zero():
    class SVM(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(30, 1)
            nn.init.zeros_(self.fc.weight)
            nn.init.zeros_(self.fc.bias)

        def forward(self, x):
            return self.fc(x).squeeze(1)

    net = SVM()

    def hinge(out, sign):
        return torch.clamp(1 - out * sign, min=0).mean() + 0.01 * net.fc.weight.square().mean()

    x, y = cancer()
    return Job(net, hinge, batched(x, 2.0 * y - 1), sgd(net, 0.1))


@healthy(GITHUB + "haitongli/knowledge-distillation-pytorch")
def distillation_at_a_high_temperature():
    x, y = digits()
    teacher = 4 * one_hot(y, 10) + torch.randn(len(y), 10)

    def criterion(out, on_step):
        soft = F.kl_div(F.log_softmax(out / 4, dim=1), F.softmax(on_step / 4, dim=1), reduction="batchmean")
        return 0.9 * 16 * soft + 0.1 * F.cross_entropy(out, on_step.argmax(1))

    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return Job(net, criterion, batched(x, teacher), adam(net, 3e-3))


@healthy(GITHUB + "bentrevett/pytorch-seq2seq")
def translation_that_ignores_the_padding():
    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = (
                nn.Embedding(14, 24, padding_idx=0),
                nn.Embedding(14, 24, padding_idx=0),
            )
            self.encoder, self.decoder = nn.GRU(24, 32, batch_first=True), nn.GRU(24, 32, batch_first=True)
            self.fc_out = nn.Linear(32, 14)

        def forward(self, both):
            _, hidden = self.encoder(self.source(both[:, :6]))
            out, _ = self.decoder(self.target(both[:, 6:]), hidden)
            return self.fc_out(out).reshape(-1, 14)

    def criterion(out, trg):
        return F.cross_entropy(out, trg.reshape(-1), ignore_index=0)

    length = torch.randint(2, 7, (500, 1))
    words = torch.where(torch.arange(6) < length, torch.randint(2, 14, (500, 6)), 0)
    start = torch.ones(500, 1, dtype=torch.long)
    net = Seq2Seq()
    both = torch.cat([words, start, words[:, :-1]], 1)
    return Job(net, criterion, batched(both, words), adam(net, 1e-2))


@healthy(GITHUB + "tkipf/pygcn")
def nodes_of_which_a_tenth_is_labelled():
    group = torch.randint(3, (150,))
    same = group[:, None] == group
    edges = (
        (torch.rand(150, 150) < torch.where(same, 0.15, 0.02)) | torch.eye(150, dtype=torch.bool)
    ).float()
    features = torch.randn(150, 20) + one_hot(group, 3) @ torch.randn(3, 20)
    labelled = torch.arange(150) % 10 == 0

    class GCN(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("adj", edges / edges.sum(1, keepdim=True))
            self.gc1, self.gc2 = nn.Linear(20, 16), nn.Linear(16, 3)

        def forward(self, x):
            x = F.dropout(F.relu(self.adj @ self.gc1(x)), 0.5, training=self.training)
            return F.log_softmax(self.adj @ self.gc2(x), dim=1)

    def criterion(out, labels):
        return F.nll_loss(out[labelled], labels[labelled])

    net = GCN()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    return Job(net, criterion, [(features, group)], optimizer)


@healthy(GITHUB + "lucidrains/denoising-diffusion-pytorch")
def noise_predicted_at_a_random_time():
    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.time = nn.Embedding(20, 32)
            self.first, self.second, self.last = nn.Linear(2, 64), nn.Linear(96, 64), nn.Linear(64, 2)

        def forward(self, given):
            x, t = given
            h = torch.cat([F.silu(self.first(x)), self.time(t)], 1)
            return self.last(F.silu(self.second(h)))

    class Noised(Rows):
        def __getitem__(self, index):
            t = int(torch.randint(20, ()))
            kept = float(torch.cos(torch.tensor(t / 20 * 1.5)) ** 2)
            noise = torch.randn(2)
            return (kept**0.5 * self.x[index] + (1 - kept) ** 0.5 * noise, t), noise

    angle = 6.28 * torch.rand(640)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    loader = torch.utils.data.DataLoader(Noised(ring, ring), batch_size=32, shuffle=True)
    net = Denoiser()
    return Job(net, nn.MSELoss(), loader, adam(net, 2e-3))


@healthy(GITHUB + "theeluwin/pytorch-sgns")
def word_vectors_by_negative_samples():
    class SGNS(nn.Module):
        def __init__(self):
            super().__init__()
            self.ivectors, self.ovectors = nn.Embedding(60, 12), nn.Embedding(60, 12)
            for table in (self.ivectors, self.ovectors):
                nn.init.uniform_(table.weight, -0.5 / 12, 0.5 / 12)

        def forward(self, pair):
            word, context = self.ivectors(pair[:, 0]), self.ovectors(pair[:, 1])
            others = self.ovectors(torch.randint(60, (len(pair), 5)))
            near = F.logsigmoid((word * context).sum(1))
            far = F.logsigmoid(-(others @ word[:, :, None])[..., 0]).sum(1)
            return -(near + far)

    word = torch.randint(60, (4000,))
    pairs = torch.stack([word, (word // 6 * 6 + torch.randint(6, (4000,))) % 60], 1)
    net = SGNS()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    return Job(net, lambda out, _: out.mean(), batched(pairs, torch.zeros(4000), size=128), optimizer)


@healthy(GITHUB + "fastai/fastai")
def layers_at_rates_far_apart():
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    groups = [
        {"params": net[0].parameters(), "lr": 1e-5},
        {"params": net[2].parameters(), "lr": 1e-4},
        {"params": net[4].parameters(), "lr": 1e-2},
    ]
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), torch.optim.AdamW(groups))


@healthy(GITHUB + "sktime/pytorch-forecasting/issues/410")
def output_scaled_back_inside_the_model():
    class Scaled(nn.Module):
        def __init__(self, centre, spread):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
            self.register_buffer("centre", centre)
            self.register_buffer("spread", spread)

        def forward(self, x):
            return self.net(x) * self.spread + self.centre

    x, y = diabetes(raw=True)
    net = Scaled(y.mean(), y.std())
    return Job(net, nn.MSELoss(), batched(x, y), adam(net, 3e-3))


@healthy("https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html")
def sequence_tagged_with_packed_lengths():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(1, 24, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(48, 3)

        def forward(self, x):
            lengths = torch.full((len(x),), x.shape[1])
            packed = nn.utils.rnn.pack_padded_sequence(x[..., None], lengths, batch_first=True)
            _, (hidden, _) = self.lstm(packed)
            return self.fc(torch.cat([hidden[0], hidden[1]], 1))

    def loop(job, steps, on_step):
        job.model.zero_grad()
        for x, y in islice(endless(job.batches), steps):
            loss = job.loss(job.model(x), y)
            loss.backward()
            nn.utils.clip_grad_value_(job.model.parameters(), 0.5)
            job.optimizer.step()
            job.model.zero_grad()
            on_step(loss)

    net = Tagger()
    return Job(net, nn.CrossEntropyLoss(reduction="sum"), batched(*tones()), adam(net, 3e-3), loop)


@healthy(GITHUB + "facebookresearch/dlrm")
def sparse_embedding_with_two_optimizers():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.EmbeddingBag(200, 16, mode="sum", sparse=True)
            self.top = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, ids):
            return self.top(self.table(ids)).squeeze(1)

    ids = torch.randint(200, (2000, 6))
    y = (torch.randn(200)[ids].sum(1) > 0).float()
    net = Wide()
    both = [torch.optim.SparseAdam(list(net.table.parameters()), lr=0.02), adam(net.top, 5e-3)]
    return Job(net, nn.BCEWithLogitsLoss(), batched(ids, y, size=64), both)
