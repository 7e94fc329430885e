"""The same six epochs as many programs print them, damage of terminals and launchers included."""

from __future__ import annotations

COSTS = [1.92, 1.55, 1.31, 1.12, 0.98, 0.88]
VAL_LOSS = [1.61, 1.40, 1.22, 1.10, 1.03, 0.99]
TRAIN = [0.31, 0.44, 0.53, 0.60, 0.66, 0.70]
VAL = [0.42, 0.50, 0.56, 0.61, 0.64, 0.66]
EPOCHS = list(zip(range(1, 7), COSTS, VAL_LOSS, TRAIN, VAL, strict=True))


def _each(line):
    return "".join(line(*epoch) for epoch in EPOCHS)


def tqdm():
    """Three states of each bar, one over the other."""
    return _each(
        lambda e, c, v, t, a: (
            f"\rEpoch {e}/6:   0%|          | 0/50 [00:00<?, ?it/s]"
            f"\rEpoch {e}/6: 100%|██████████| 50/50 [00:02<00:00, 24.3it/s, loss={c:.3f}, acc={t:.3f}]\n"
            f"val_loss={v:.3f} val_acc={a:.3f}\n"
        )
    )


def keras_three():
    """Colours, backspaces and carriage returns, as Keras 3 prints into a file."""
    bar = "━" * 20
    return _each(
        lambda e, c, v, t, a: (
            f"Epoch {e}/6\n\x1b[1m 1/50\x1b[0m {bar} \x1b[1m4s\x1b[0m 80ms/step - accuracy: 0.1 - loss: 9.1"
            f"\x08\x08\x08\r\x1b[1m50/50\x1b[0m \x1b[32m{bar}\x1b[0m \x1b[1m1s\x1b[0m 9ms/step - "
            f"accuracy: {t} - loss: {c} - val_accuracy: {a} - val_loss: {v}\n"
        )
    )


def windows():
    return _each(
        lambda e, c, v, t, a: f"Epoch {e}/6 - train loss {c}, val loss {v}, train acc {t}, val acc {a}\r\n"
    )


def time_stamps():
    return _each(
        lambda e, c, v, t, a: (
            f"2024-05-01 10:0{e}:00,123 [INFO] trainer.py:42 - epoch={e} train_loss={c} train_acc={t} "
            f"val_loss={v} val_acc={a}\n"
        )
    )


def _processes(prefix):
    """Two processes, the second one's lines first, with a loss of its own."""
    return _each(
        lambda e, c, v, t, a: "".join(
            f"{prefix.format(rank)}epoch {e} train loss {c + rank:.2f} acc {t} val loss {v} acc {a}\n"
            for rank in (1, 0)
        )
    )


def torchrun():
    return "W0501 10:00:00 torch/distributed/run.py:766] Setting OMP_NUM_THREADS\n" + _processes("[rank{}]: ")


def torchrun_tee():
    return _processes("[default{}]:")


def slurm():
    return _processes("{}: ")


def mpirun():
    return _processes("[1,{}]<stdout>:")


def lightning_bar():
    return "  | Name  | Type   | Params\n7,850     Trainable params\n" + _each(
        lambda e, c, v, t, a: (
            f"Epoch {e - 1}: 100%|██████████| 50/50 [00:02<00:00, 24.35it/s, v_num=0, "
            f"train_loss_step={c + 1:.3f}, "
            f"val_loss={v:.3f}, val_acc={a:.3f}, train_loss_epoch={c:.3f}, train_acc={t:.3f}]\r"
        )
    )


def huggingface():
    """Numbers as text, as the newest Trainer prints them, between its bars."""
    return _each(
        lambda e, c, v, t, a: (
            f" {e * 16}%|█▋        | {e * 50}/300 [00:05<00:25, 9.8it/s]\r"
            f"{{'loss': '{c}', 'grad_norm': '1.23', 'learning_rate': '5e-05', 'epoch': '{e}'}}\n"
            f"{{'eval_loss': '{v}', 'eval_accuracy': '{a}', 'eval_runtime': '1.2', 'epoch': '{e}'}}\n"
        )
    )


def accelerate():
    return _each(
        lambda e, c, v, t, a: (
            f"05/01/2024 10:00:0{e} - INFO - __main__ - epoch {e - 1}: {{'val_accuracy': {a}}}\n"
            f"  0%|          | 3/300 [00:00<00:10]\repoch {e - 1}: train_loss: {c} eval_loss: {v}\n"
        )
    )


def fastai():
    return "epoch     train_loss  valid_loss  accuracy  time    \n" + _each(
        lambda e, c, v, t, a: f"{e - 1}         {c:.6f}    {v:.6f}    {a:.6f}  00:12     \n"
    )


def skorch():
    return (
        "  epoch    train_loss    valid_acc    valid_loss     dur\n"
        "-------  ------------  -----------  ------------  ------\n"
    ) + _each(lambda e, c, v, t, a: f"      {e}        \x1b[36m{c}\x1b[0m       {a}        {v}  0.0307\n")


def ultralytics():
    """Without scores that are losses or accuracies, but with its boxes' loss."""
    return _each(
        lambda e, c, v, t, a: (
            "\n      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
            f"        {e}/6      2.61G      {c}      1.398      1.192         81        640: 100%|██| 8/8\n"
            "                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95):\n"
            f"                   all        128        929      0.688      0.506       {a}      0.446\n"
        )
    )


def detectron():
    return _each(
        lambda e, c, v, t, a: (
            f"[05/01 10:00:{e:02d} d2.utils.events]:  eta: 0:10:00  iter: {e * 20 - 1}  "
            f"loss_cls: {c / 2:.3f}  total_loss: {c}  loss_box_reg: {c / 3:.3f}  "
            "time: 0.3123  data_time: 0.0101  lr: 0.00025  max_mem: 2567M\n"
        )
    )


def mmdetection():
    return _each(
        lambda e, c, v, t, a: (
            f"2024-05-01 10:00:0{e},123 - mmdet - INFO - Epoch [{e}][150/150]\tlr: 2.000e-02, "
            "eta: 1 day, 2:03:04, time: 0.312, data_time: 0.011, memory: 3500, "
            f"loss_cls: {c / 2:.4f}, acc: {t * 100:.4f}, loss: {c:.4f}\n"
        )
    )


def torchvision():
    """Values with their running means in brackets."""
    return _each(
        lambda e, c, v, t, a: (
            f"Epoch: [{e - 1}]  [ 99/100]  eta: 0:01:10  lr: 0.001  loss: {c:.4f} ({c + 0.1:.4f})  "
            f"acc1: {t * 100:.4f} ({t * 100:.4f})  time: 0.3000  data: 0.0100  max mem: 2567\n"
            f"Test:   Acc@1 {a * 100:.3f} Acc@5 99.000\n"
        )
    )


def timm():
    return _each(
        lambda e, c, v, t, a: (
            f"Train: {e - 1} [ 311/312 (100%)]  Loss: {c:.3g} ({c + 0.02:.3g})  Time: 0.512s,  500.00/s  "
            "(0.520s,  492.31/s)  LR: 1.000e-03  Data: 0.010 (0.020)\n"
            f"Test: [  50/50]  Time: 0.100 (0.120)  Loss:   {v:>6.3f} ({v:>6.3f})  Acc@1: {a * 100:>7.3f} "
            f"({a * 100:>7.3f})  Acc@5: 99.000 (99.000)\n"
        )
    )


def nanogpt():
    return _each(
        lambda e, c, v, t, a: (
            f"iter {100 * e}: loss {c:.4f}, time 20.15ms, mfu 3.11%\n"
            f"step {100 * e}: train loss {c:.4f}, val loss {v:.4f}\n"
        )
    )


ALL, NO_TRAIN = {"train_accuracy", "val_accuracy", "val_loss"}, {"val_accuracy", "val_loss"}
PROGRAMS = {
    tqdm: ALL,
    keras_three: ALL,
    windows: ALL,
    time_stamps: ALL,
    torchrun: ALL,
    torchrun_tee: ALL,
    slurm: ALL,
    mpirun: ALL,
    lightning_bar: ALL,
    huggingface: NO_TRAIN,
    accelerate: NO_TRAIN,
    fastai: NO_TRAIN,
    skorch: NO_TRAIN,
    ultralytics: set(),
    detectron: set(),
    mmdetection: {"train_accuracy"},
    torchvision: {"train_accuracy", "val_accuracy"},
    timm: NO_TRAIN,
    nanogpt: {"val_loss"},
}
"""A program -> what stands in its log beside the cost."""
