"""From forums and repositories: faults of the loop, with healthy twins, that no check can find."""

from __future__ import annotations

from itertools import islice

import torch
import torch.nn.functional as F
from tests.faults.forum_networks import LeNet, cancer, tones
from tests.faults.rebuilt_programs import Job, adam, batched, endless, reported, sgd, usual
from tests.faults.zoo import diabetes, digits, wine
from torch import nn


@reported("https://stats.stackexchange.com/questions/376851", watch="gradients_not_zeroed")
def lstm_on_a_ramp_without_zero_grad(faulty):
    class Ramp(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.linear = nn.LSTM(1, 50, batch_first=True), nn.Linear(50, 1)

        def forward(self, x):
            return self.linear(self.lstm(x)[0])[:, :, 0]

    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            output = job.model(x)
            loss = 0.0
            for i in range(y.shape[1]):
                loss = loss + job.loss(output[:, i], y[:, i])
            if not faulty:
                job.optimizer.zero_grad()
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    values = torch.arange(22) / 20
    net = Ramp()
    return Job(net, nn.MSELoss(), [(values[None, :21, None], values[None, 1:])], adam(net), loop)


@reported("https://thecodeforge.io/ml-ai/pytorch-training-loop/", watch="gradients_not_zeroed")
def zero_grad_once_an_epoch(faulty):
    def loop(job, steps, on_step):
        done = 0
        while done < steps:
            job.optimizer.zero_grad()
            for x, y in job.batches:
                if not faulty:
                    job.optimizer.zero_grad()
                loss = job.loss(job.model(x), y)
                loss.backward()
                job.optimizer.step()
                on_step(loss)
                done += 1

    net = LeNet()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), sgd(net, 0.05), loop)


@reported(
    "http://xiaobeizi.cn/x/6iuujguWdu",
    watch="gradients_discarded optimizer_never_steps layers_without_gradient",
)
def zero_grad_between_backward_and_step(faulty):
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            if not faulty:
                job.optimizer.zero_grad()
            loss = job.loss(job.model(x), y)
            loss.backward()
            if faulty:
                job.optimizer.zero_grad()
            job.optimizer.step()
            on_step(loss)

    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    return Job(net, nn.MSELoss(), batched(*diabetes()), sgd(net, 0.05), loop)


@reported(
    "https://network-perspective.github.io/OpenShrike/library/checks/pytorch/"
    "pytorch-rel-001-correct-train-eval-mode-switching/",
    watch="trained_in_eval_mode",
)
def never_back_to_train_after_validation(faulty):
    def loop(job, steps, on_step):
        done = 0
        job.model.train()
        while done < steps:
            if not faulty:
                job.model.train()
            for x, y in job.batches:
                job.optimizer.zero_grad()
                loss = job.loss(job.model(x), y)
                loss.backward()
                job.optimizer.step()
                on_step(loss)
                done += 1
                if done % 20 == 0:
                    break
            job.model.eval()
            with torch.no_grad():
                for x, _ in islice(iter(job.batches), 2):
                    job.model(x)

    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.3), nn.Flatten())
    net.append(nn.Linear(16 * 36, 10))
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), adam(net), loop)


@reported("https://taourl.com/read-2034078.html", watch="learning_rate_zero")
def epoch_schedule_stepped_every_batch(faulty):
    def loop(job, steps, on_step):
        schedule = torch.optim.lr_scheduler.StepLR(job.optimizer, step_size=5, gamma=0.1)
        done = 0
        while done < steps:
            for x, y in job.batches:
                job.optimizer.zero_grad()
                loss = job.loss(job.model(x), y)
                loss.backward()
                job.optimizer.step()
                if faulty:
                    schedule.step()
                on_step(loss)
                done += 1
            if not faulty:
                schedule.step()

    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), sgd(net, 0.1), loop)


@reported(
    "https://leyaa.ai/codefly/learn/pytorch/part-1/pytorch-zeroing-gradients/visualize",
    watch="optimizer_never_steps",
)
def step_only_after_the_thousandth_batch(faulty):
    def loop(job, steps, on_step):
        every = 1000 if faulty else 4
        job.optimizer.zero_grad()
        for i, (x, y) in enumerate(islice(endless(job.batches), steps), 1):
            loss = job.loss(job.model(x), y) / every
            loss.backward()
            if i % every == 0:
                job.optimizer.step()
                job.optimizer.zero_grad()
            on_step(loss)

    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
    x, y = cancer()
    return Job(net, nn.BCEWithLogitsLoss(), batched(x, y[:, None].float(), size=16), adam(net, 3e-3), loop)


@reported(
    "https://discuss.pytorch.org/t/when-backward-can-be-safely-omitted/1284", watch="loss_not_connected"
)
def loss_wrapped_in_a_new_tensor(faulty):
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            job.optimizer.zero_grad()
            loss = job.loss(job.model(x), y)
            if faulty:
                loss = torch.tensor(loss.item(), requires_grad=True)
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    net = nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3))
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), adam(net, 1e-2), loop)


@reported(
    "https://huggingface.co/datasets/nvidia/Nemotron-CC-Math-v1#policy-gradients-and-reinforce-with-baseline",
    watch="sign_flipped",
)
def log_likelihood_descended(faulty):
    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            log_p = job.model(x).gather(1, y[:, None]).mean()
            job.optimizer.zero_grad()
            loss = log_p if faulty else -log_p
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2), nn.LogSoftmax(1))
    return Job(net, nn.NLLLoss(), batched(*cancer()), adam(net), loop)


@reported(
    "https://ossamaelhakki.com/en/blog/gan-image-generation-dcgan",
    watch="optimizer_never_steps optimizer_holds_other_model parameters_not_in_optimizer",
    checkable=False,
)
def generator_stepped_by_the_wrong_optimizer(faulty):
    def loop(job, steps, on_step):
        critic = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
        of_critic = adam(critic, 1e-3)
        for z, real in islice(endless(job.batches), steps):
            ones, zeros = torch.ones(len(z), 1), torch.zeros(len(z), 1)
            of_critic.zero_grad()
            fake = job.model(z)
            loss_d = job.loss(critic(real), ones) + job.loss(critic(fake.detach()), zeros)
            loss_d.backward()
            of_critic.step()
            job.optimizer.zero_grad()
            loss_g = job.loss(critic(fake), ones)
            loss_g.backward()
            (of_critic if faulty else job.optimizer).step()
            on_step(loss_g)

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    real = torch.randn(512, 2) * 0.3 + torch.tensor([1.0, -1.0])
    return Job(net, nn.BCEWithLogitsLoss(), batched(torch.randn(512, 8), real), adam(net), loop)


@reported("https://github.com/salesforce/awd-lstm-lm/issues/30", watch="optimizer_holds_other_model")
def model_built_again_for_each_fold(faulty):
    first = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), adam(first if faulty else net, 1e-2), usual)


@reported(
    "https://preproom.ai/learn/model-training-pytorch.html",
    watch="learning_rate_too_high loss_not_finite loss_exploded oscillation",
)
def recurrent_net_at_a_rate_of_ten(faulty):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.RNN(1, 32, batch_first=True), nn.Linear(32, 3)

        def forward(self, x):
            return self.fc(self.rnn(x[..., None])[0][:, -1])

    def loop(job, steps, on_step):
        for x, y in islice(endless(job.batches), steps):
            job.optimizer.zero_grad()
            loss = F.cross_entropy(job.model(x), y)
            loss.backward()
            job.optimizer.step()
            on_step(loss)

    net = Net()
    return Job(net, nn.CrossEntropyLoss(), batched(*tones()), adam(net, 10.0 if faulty else 3e-3), loop)
