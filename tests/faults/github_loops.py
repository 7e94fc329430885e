"""From GitHub's issues: faults of the loop, with healthy twins; no check before training can find them."""

from __future__ import annotations

from itertools import islice

import torch
import torch.nn.functional as F
from tests.faults.forum_networks import LeNet, cancer, tones
from tests.faults.github_losses import TinyUNet, squares
from tests.faults.rebuilt_programs import Job, adam, batched, endless, reported
from tests.faults.zoo import diabetes, digits, wine
from torch import nn

GITHUB = "https://github.com/"


@reported(
    GITHUB + "Tony-Y/pytorch_warmup/issues/12",
    watch="gradients_discarded optimizer_never_steps layers_without_gradient",
)
def zeroed_after_backward_under_a_warm_up(faulty):
    def loop(job, steps, on_step):
        warm_up = torch.optim.lr_scheduler.LambdaLR(job.optimizer, lambda step: min(1.0, (step + 1) / 20))
        for x, y in islice(endless(job.batches), steps):
            loss = job.loss(job.model(x), y)
            if faulty:
                loss.backward()
                job.optimizer.zero_grad()
            else:
                job.optimizer.zero_grad()
                loss.backward()
            job.optimizer.step()
            warm_up.step()
            on_step(loss)

    net = LeNet()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), adam(net, 3e-3), loop)


@reported(GITHUB + "ClementPinard/SfmLearner-Pytorch/issues/5", watch="optimizer_never_steps")
def schedule_stepped_instead_of_the_optimizer(faulty):
    def loop(job, steps, on_step):
        scheduler = torch.optim.lr_scheduler.StepLR(job.optimizer, step_size=100, gamma=0.5)
        for x, y in islice(endless(job.batches), steps):
            job.optimizer.zero_grad()
            loss = job.loss(job.model(x), y)
            loss.backward()
            if not faulty:
                job.optimizer.step()
            scheduler.step()
            on_step(loss)

    net = nn.Sequential(nn.Conv1d(1, 12, 5), nn.ReLU(), nn.Flatten(), nn.Linear(240, 3))
    x, y = tones()
    return Job(net, nn.CrossEntropyLoss(), batched(x[:, None], y), adam(net, 3e-3), loop)


@reported(GITHUB + "yastrebksv/TennisCourtDetector/issues/7", watch="gradients_not_zeroed")
def heatmaps_trained_without_zero_grad(faulty):
    def train(job, steps, on_step):
        job.model.train()
        for iter_id, (images, heatmaps) in enumerate(endless(job.batches)):
            if iter_id == steps:
                break
            out = job.model(images.float())
            loss = job.loss(torch.sigmoid(out), heatmaps)
            if not faulty:
                job.optimizer.zero_grad()
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    net = TinyUNet()
    return Job(net, nn.MSELoss(), batched(*squares(), size=16), adam(net, 1e-2), train)


@reported(GITHUB + "ermongroup/ncsn/issues/2", watch="trained_in_eval_mode")
def model_in_eval_after_the_first_log(faulty):
    def loop(job, steps, on_step):
        job.model.train()
        for step, (x, y) in enumerate(islice(endless(job.batches), steps)):
            loss = job.loss(job.model(x), y)
            job.optimizer.zero_grad()
            loss.backward()
            job.optimizer.step()
            on_step(loss)
            if step % 25 == 0:
                job.model.eval()
                with torch.no_grad():
                    job.loss(job.model(x), y)
                if not faulty:
                    job.model.train()

    net = nn.Sequential(nn.Linear(10, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 1))
    return Job(net, nn.MSELoss(), batched(*diabetes(), drop_last=True), adam(net, 3e-3), loop)


@reported(GITHUB + "roman-vygon/triplet_loss_kws/issues/6", watch="loss_not_connected", checkable=False)
def loss_told_to_require_a_gradient(faulty):
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            job.optimizer.zero_grad()
            with torch.set_grad_enabled(not faulty):
                embedded = F.normalize(job.model(x), dim=1)
                apart = torch.cdist(embedded, embedded)
                same = y[:, None] == y
                hard = (apart * same).amax(1) - (apart + 10 * same).amin(1)
                losses = F.softplus(hard)
            mean_losses = losses.mean()
            if faulty:
                mean_losses.requires_grad = True
            mean_losses.backward()
            job.optimizer.step()
            on_step(mean_losses)

    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))
    return Job(net, nn.TripletMarginLoss(), batched(*digits()), adam(net), loop)


@reported(GITHUB + "md-mohaiminul/ViS4mer/issues/4", watch="learning_rate_zero")
def plateau_schedule_that_is_told_the_accuracy(faulty):
    def loop(job, steps, on_step):
        mode = "min" if faulty else "max"
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(job.optimizer, mode, patience=1)
        done = 0
        while done < steps:
            right = seen_rows = 0
            for x, y in job.batches:
                job.optimizer.zero_grad()
                out = job.model(x)
                loss = job.loss(out, y)
                loss.backward()
                job.optimizer.step()
                on_step(loss)
                done += 1
                right, seen_rows = right + (out.argmax(1) == y).sum().item(), seen_rows + len(y)
            schedule.step(right / seen_rows)

    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), adam(net, 3e-3), loop)


@reported(
    GITHUB + "tamarott/SinGAN/pull/117",
    watch="loss_not_connected layers_without_gradient optimizer_never_steps",
    checkable=False,
)
def generator_scored_behind_a_detach(faulty):
    def loop(job, steps, on_step):
        critic = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
        of_critic = torch.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.5, 0.999))
        for z, real in islice(endless(job.batches), steps):
            critic.zero_grad()
            fake = job.model(z)
            (F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()).backward()
            of_critic.step()
            job.model.zero_grad()
            output = critic(fake.detach() if faulty else fake)
            loss_g = F.softplus(-output).mean()
            loss_g.backward()
            job.optimizer.step()
            on_step(loss_g)

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    real = torch.randn(512, 2) * 0.3 + torch.tensor([1.0, -1.0])
    return Job(net, nn.BCEWithLogitsLoss(), batched(torch.randn(512, 8), real), adam(net), loop)


@reported(GITHUB + "Lightning-AI/pytorch-lightning/issues/4083", watch="gradients_not_zeroed")
def closure_that_never_zeroes(faulty):
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), min(steps, 40)):
            last = []
            job.optimizer.zero_grad()

            def closure(x=x, y=y, last=last):
                if not faulty:
                    job.optimizer.zero_grad()
                loss = job.loss(job.model(x), y)
                loss.backward()
                last.append(loss)
                return loss

            job.optimizer.step(closure)
            on_step(last[0])

    net = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 2), nn.LogSoftmax(1))
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=8)
    return Job(net, nn.NLLLoss(), batched(*cancer(), size=190), optimizer, loop)


@reported(GITHUB + "ZiqiaoPeng/DualTalk/issues/9", watch="gradients_discarded")
def accumulation_that_forgets(faulty):
    def loop(job, steps, on_step):
        job.optimizer.zero_grad()
        for i, (x, y) in enumerate(islice(endless(job.batches), steps)):
            if faulty:
                job.optimizer.zero_grad()
            loss = job.loss(job.model(x), y) / 4
            loss.backward()
            if i % 4 == 3:
                job.optimizer.step()
                job.optimizer.zero_grad()
            on_step(loss)

    net = LeNet()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True), size=16), adam(net, 3e-3), loop)
