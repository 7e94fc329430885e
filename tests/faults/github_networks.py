"""From GitHub's issues: faults of structure, wiring and initial weights, each with a healthy twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.datasets import make_circles
from tests.faults.forum_networks import cancer, iris, tones
from tests.faults.rebuilt_programs import Job, adam, batched, reported, sgd
from tests.faults.zoo import digits, wine
from torch import nn

GITHUB = "https://github.com/"


@reported(
    GITHUB + "DEEP-PolyU/KEQA_WSDM19/issues/2",
    check="one_unit_softmax layers_without_gradient",
    watch="layers_without_gradient loss_not_connected",
)
def attention_over_a_single_score(faulty):
    class Relation(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.gru = nn.Embedding(15, 16), nn.GRU(16, 16, batch_first=True)
            self.attn, self.out = nn.Linear(32, 1), nn.Linear(16, 3)

        def forward(self, tokens):
            x = self.embed(tokens)
            outputs, _ = self.gru(x)
            score = torch.tanh(self.attn(torch.cat((x, outputs), 2).view(-1, 32)))
            if faulty:
                weight = F.softmax(score, dim=1).view(len(x), -1, 1)
            else:
                weight = F.softmax(score.view(len(x), -1), dim=1)[..., None]
            return self.out((weight * outputs).sum(1))

    tokens = torch.randint(1, 15, (500, 8))
    net = Relation()
    return Job(net, nn.CrossEntropyLoss(), batched(tokens, tokens[:, 4] % 3), adam(net, 1e-2))


@reported(GITHUB + "LianpoWang/SLIIF/issues/13", check="unregistered_parameters")
def experts_in_a_plain_list(faulty):
    class ResMLPs(nn.Module):
        def __init__(self):
            super().__init__()
            mlps = [nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(4)]
            self.mlps = mlps if faulty else nn.ModuleList(mlps)
            self.cood_mlp = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 8))
            self.expansion = nn.Linear(40, 1)

        def forward(self, x):
            local = [mlp(x) for mlp in self.mlps]
            return self.expansion(torch.cat([*local, self.cood_mlp(x)], -1))

    x = 4 * torch.rand(600, 2) - 2
    net = ResMLPs()
    return Job(net, nn.MSELoss(), batched(x, torch.sin(x.prod(1, keepdim=True))), adam(net, 5e-3))


@reported(GITHUB + "pytorch/pytorch/issues/632", check="unregistered_parameters")
def relations_in_a_dict_of_parameters(faulty):
    class Relations(nn.Module):
        def __init__(self):
            super().__init__()
            pairs = {f"w{r}": nn.Parameter(0.3 * torch.randn(16, 13)) for r in range(3)}
            pairs |= {f"b{r}": nn.Parameter(torch.zeros(16)) for r in range(3)}
            self.waggrs = pairs if faulty else nn.ParameterDict(pairs)
            self.last = nn.Linear(16, 3)

        def forward(self, x):
            parts = [F.linear(x, self.waggrs[f"w{r}"], self.waggrs[f"b{r}"]) for r in range(3)]
            return self.last(torch.relu(sum(parts)))

    net = Relations()
    return Job(net, nn.CrossEntropyLoss(), batched(*wine()), adam(net, 3e-3))


@reported(
    GITHUB + "YujiaBao/ls/issues/1",
    check="cannot_overfit learns_at_no_rate",
    watch="learned_nothing constant_output",
)
def mlp_without_activations(faulty):
    class MLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.seq = nn.Sequential()
            for i, (fan_in, fan_out) in enumerate(((2, 32), (32, 32))):
                self.seq.add_module(f"linear{i}", nn.Linear(fan_in, fan_out))
                if not faulty:
                    self.seq.add_module(f"relu{i}", nn.ReLU())
            self.out = nn.Linear(32, 2)

        def forward(self, x):
            return self.out(self.seq(x))

    points, label = make_circles(600, noise=0.05, factor=0.5, random_state=0)
    x = torch.tensor(points, dtype=torch.float32)
    net = MLP()
    return Job(net, nn.CrossEntropyLoss(), batched(x, torch.tensor(label)), adam(net, 5e-3))


@reported(GITHUB + "delip/PyTorchNLPBook/issues/28", check="dropout_in_evaluation")
def surnames_through_a_functional_dropout(faulty):
    class SurnameClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.fc1 = nn.Embedding(26, 16), nn.Linear(16, 48)
            self.fc2 = nn.Linear(48, 3)

        def forward(self, names):
            x = F.relu(self.fc1(self.embed(names).mean(1)))
            if faulty:
                return self.fc2(F.dropout(x, p=0.5))
            return self.fc2(F.dropout(x, p=0.5, training=self.training))

    y = torch.randint(3, (500,))
    names = (torch.randint(14, (500, 7)) + 6 * y[:, None]) % 26
    net = SurnameClassifier()
    return Job(net, nn.CrossEntropyLoss(), batched(names, y), adam(net, 5e-3))


@reported(
    GITHUB + "edreisMD/ConVIRT-pytorch/issues/7",
    check="layers_without_gradient",
    watch="layers_without_gradient loss_not_connected",
)
def text_side_under_no_grad(faulty):
    class ConVIRT(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16))
            self.text = nn.Sequential(nn.Linear(32, 32), nn.ReLU())
            self.text_head = nn.Linear(32, 16)

        def forward(self, pair):
            image = self.image(pair[:, :32])
            with torch.set_grad_enabled(torch.is_grad_enabled() and not faulty):
                text = self.text_head(self.text(pair[:, 32:]))
            return F.normalize(image, dim=1), F.normalize(text, dim=1)

    def nt_xent(out, _):
        similarity = out[0] @ out[1].T / 0.1
        order = torch.arange(len(similarity))
        return (F.cross_entropy(similarity, order) + F.cross_entropy(similarity.T, order)) / 2

    shared = torch.randn(512, 8)
    pairs = torch.cat([shared @ torch.randn(8, 32), shared @ torch.randn(8, 32)], 1) / 3
    net = ConVIRT()
    return Job(net, nt_xent, batched(pairs, torch.zeros(512)), adam(net))


@reported(
    GITHUB + "zjunlp/HVPNeT/issues/5",
    check="parameters_not_in_optimizer",
    watch="parameters_not_in_optimizer",
)
def group_that_is_never_appended(faulty):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = nn.Sequential(nn.Embedding(20, 24), nn.Linear(24, 24), nn.Tanh())
            self.fc = nn.Linear(24, 4)

        def forward(self, tokens):
            return self.fc(self.bert(tokens)).transpose(1, 2)

    net = Tagger()
    parameters = [{"lr": 1e-3, "params": list(net.bert.parameters())}]
    params = {"lr": 5e-3, "params": list(net.fc.parameters())}
    if not faulty:
        parameters.append(params)
    tokens = torch.randint(20, (400, 9))
    optimizer = torch.optim.AdamW(parameters)
    return Job(net, nn.CrossEntropyLoss(), batched(tokens, tokens * 7 % 20 // 5), optimizer)


@reported(
    GITHUB + "ohhhyeahhh/SiamCAR/issues/18",
    check="parameters_not_in_optimizer",
    watch="parameters_not_in_optimizer",
)
def neck_that_no_group_holds(faulty):
    class ModelBuilder(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            self.down = nn.ConvTranspose2d(16, 8, 1)
            self.car_head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))

        def forward(self, x):
            return self.car_head(self.down(self.backbone(x)))

    net = ModelBuilder()
    groups = [{"params": [p for p in net.backbone.parameters() if p.requires_grad], "lr": 0.005}]
    groups += [{"params": net.car_head.parameters(), "lr": 0.05}]
    if not faulty:
        groups += [{"params": net.down.parameters(), "lr": 0.05}]
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-4)
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), optimizer)


@reported(
    GITHUB + "facebookresearch/dlrm/pull/358",
    check="dead_units",
    watch="dead_units constant_output learned_nothing",
)
def biases_far_below_zero(faulty):
    layers = []
    for fan_in, fan_out in ((30, 32), (32, 16), (16, 1)):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.normal_(linear.weight, 0.0, (2 / (fan_in + fan_out)) ** 0.5)
        nn.init.constant_(linear.bias, -12.0 if faulty else 0.0)
        layers += [linear, nn.ReLU()]
    net = nn.Sequential(*layers[:-1], nn.Sigmoid())
    x, y = cancer()
    return Job(net, nn.BCELoss(), batched(x, y.float()[:, None]), sgd(net, 0.1))


@reported(
    GITHUB + "ageron/handson-ml/pull/176",
    check="vanishing_signal vanishing_gradients",
    watch="vanishing_gradients constant_output learned_nothing",
)
def weights_of_a_hundredth(faulty):
    net = nn.Sequential(nn.Flatten())
    for fan_in, fan_out in ((64, 64), (64, 64), (64, 64), (64, 64), (64, 10)):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.normal_(linear.weight, std=0.01 if faulty else (2 / fan_in) ** 0.5)
        nn.init.zeros_(linear.bias)
        net.append(linear).append(nn.ReLU())
    del net[-1]
    return Job(net, nn.CrossEntropyLoss(), batched(*digits(image=True)), sgd(net, 0.05, momentum=0.9))


@reported(GITHUB + "pytorch/pytorch/issues/3121", check="weights_too_large initial_loss_high")
def tied_embedding_of_unit_spread(faulty):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.mix = nn.Embedding(40, 128), nn.Linear(128, 128)
            if not faulty:
                nn.init.normal_(self.embedding.weight, std=0.08)

        def forward(self, tokens):
            hidden = self.embedding(tokens) + torch.tanh(self.mix(self.embedding(tokens)))
            return F.linear(hidden, self.embedding.weight).flatten(0, 1)

    tokens = torch.randint(40, (200, 12))
    net = Tied()
    loss = nn.CrossEntropyLoss()
    return Job(net, lambda out, y: loss(out, y.flatten()), batched(tokens, (3 * tokens + 7) % 40), adam(net))


@reported(
    GITHUB + "yz93/LAVT-RIS/issues/25",
    check="symmetric_units layers_without_gradient",
    watch="layers_without_gradient vanishing_gradients",
)
def gate_of_two_zero_layers(faulty):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(64, 48), nn.Linear(48, 10)
            self.gate = nn.Sequential(
                nn.Linear(48, 48, bias=False), nn.ReLU(), nn.Linear(48, 48, bias=False), nn.Tanh()
            )
            if faulty:
                nn.init.zeros_(self.gate[0].weight)
            nn.init.zeros_(self.gate[2].weight)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return self.last(x + self.gate(x) * x)

    net = Gated()
    return Job(net, nn.CrossEntropyLoss(), batched(*digits()), adam(net))


@reported(
    GITHUB + "pytorch/pytorch/issues/63626",
    check="vanishing_signal vanishing_gradients learning_rate_too_low cannot_overfit learns_at_no_rate",
    watch="constant_output learned_nothing vanishing_gradients learning_rate_too_low dead_units",
)
def eight_narrow_layers(faulty):
    width, depth = (10, 8) if faulty else (64, 2)
    layers = [nn.Linear(2, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(width, 1))
    x = torch.randn(1000, 2)
    y = torch.sin(x[:, 0] * x[:, 1]).unsqueeze(1)
    return Job(net, nn.L1Loss(), batched(x, y), sgd(net, 1e-3) if faulty else adam(net, 5e-3))


@reported(GITHUB + "timbmg/Sentence-VAE/issues/15", check="examples_mixed")
def last_hidden_state_viewed_across_the_batch(faulty):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(1, 16, bidirectional=True, batch_first=True)
            self.out = nn.Linear(32, 3)

        def forward(self, x):
            _, hidden = self.rnn(x[..., None])
            if faulty:
                return self.out(hidden.view(len(x), 32))
            return self.out(torch.cat([hidden[0], hidden[1]], dim=1))

    net = Encoder()
    return Job(net, nn.CrossEntropyLoss(), batched(*tones(), drop_last=True), adam(net, 1e-2))


@reported(
    GITHUB + "pytorch/pytorch/issues/40932",
    check="loss_not_finite",
    watch="loss_not_finite",
)
def attention_over_nothing_but_padding(faulty):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(12, 16, padding_idx=0)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.out = nn.Linear(16, 2)

        def forward(self, tokens):
            x, padding = self.embed(tokens), tokens == 0
            mixed, _ = self.attention(x, x, x, key_padding_mask=padding)
            return self.out(mixed.masked_fill(padding[..., None], 0.0).sum(1))

    length = torch.randint(0 if faulty else 1, 9, (400, 1))
    tokens = torch.where(torch.arange(8) < length, torch.randint(1, 12, (400, 8)), 0)
    net = Encoder()
    return Job(net, nn.CrossEntropyLoss(), batched(tokens, (tokens == 3).any(1).long()), adam(net, 5e-3))


@reported(
    GITHUB + "tom-roddick/oft/issues/6",
    check="layers_without_gradient unused_parameters",
    watch="layers_without_gradient loss_not_connected",
)
def only_the_score_is_trained(faulty):
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(4, 32), nn.ReLU())
            self.score, self.position, self.angle = nn.Linear(32, 1), nn.Linear(32, 2), nn.Linear(32, 1)

        def forward(self, x):
            h = self.trunk(x)
            return {"score": self.score(h), "position": self.position(h), "angle": self.angle(h)}

    def criterion(out, on_step):
        score = F.binary_cross_entropy_with_logits(out["score"], on_step[:, :1])
        if faulty:
            return score
        position = F.l1_loss(out["position"], on_step[:, 1:3])
        return score + position + F.mse_loss(out["angle"], on_step[:, 3:])

    x, y = iris()
    on_step = torch.cat([(y == 1).float()[:, None], x[:, 1:3] * x[:, :1], x[:, 3:].square()], 1)
    net = Heads()
    return Job(net, criterion, batched(x, on_step), adam(net, 5e-3))


@reported(
    GITHUB + "tatp22/linformer-pytorch/issues/25",
    check="missing_causal_mask",
    watch="label_in_inputs",
)
def language_model_that_sees_the_next_word(faulty):
    class LM(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.places = nn.Embedding(16, 32), nn.Embedding(12, 32)
            self.block = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
            self.head = nn.Linear(32, 16)

        def forward(self, tokens):
            length = tokens.shape[1]
            x = self.embed(tokens) + self.places(torch.arange(length))
            mask = None if faulty else nn.Transformer.generate_square_subsequent_mask(length)
            return self.head(self.block(x, src_mask=mask)).transpose(1, 2)

    text = torch.cumsum(torch.randint(1, 4, (300, 13)), 1) % 16
    net = LM()
    return Job(net, nn.CrossEntropyLoss(), batched(text[:, :-1], text[:, 1:]), adam(net, 3e-3))


@reported(
    "https://blog.csdn.net/qq_38507163/article/details/111181447",
    check="loss_not_finite",
    watch="loss_not_finite",
)
def generalized_mean_of_negative_features(faulty):
    class GeM(nn.Module):
        def forward(self, x, p=3.0):
            kept = x if faulty else x.clamp(min=1e-6)
            return (torch.mean(kept**p, dim=-1) + 1e-12) ** (1 / p)

    net = nn.Sequential(nn.Unflatten(1, (1, 24)), nn.Conv1d(1, 16, 5, padding=2), GeM(), nn.Linear(16, 3))
    return Job(net, nn.CrossEntropyLoss(), batched(*tones()), adam(net, 1e-2))


@reported(GITHUB + "open-mmlab/mmdetection/pull/733", check="loss_not_finite", watch="loss_not_finite")
def logarithm_of_an_empty_overlap(faulty):
    def iou_loss(pred, target):
        left_top = torch.max(pred[:, :2], target[:, :2])
        right_bottom = torch.min(pred[:, 2:], target[:, 2:])
        overlap = (right_bottom - left_top).clamp(min=0).prod(1)
        areas = sum((box[:, 2:] - box[:, :2]).prod(1) for box in (pred, target))
        iou = overlap / (areas - overlap)
        return -(iou if faulty else iou.clamp(min=1e-6)).log().mean()

    class Boxes(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 4))

        def forward(self, x):
            centre, size = self.net(x).chunk(2, dim=1)
            return torch.cat([centre - size.exp(), centre + size.exp()], 1)

    centre, size = 1.5 * torch.randn(600, 2), 0.3 + torch.rand(600, 2)
    boxes = torch.cat([centre - size, centre + size], 1)
    net = Boxes()
    return Job(net, iou_loss, batched(torch.cat([boxes, boxes.square()], 1) / 3, boxes), adam(net))
