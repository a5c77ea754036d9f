"""C27, C31: device, precision, threads and batch size as the machine has them."""

import subprocess
import sys

import pytest
import torch
from lightning_fabric import Fabric

from retailsim.errors import UserError
from retailsim.training import batch_size, device, fabric
from tests.training.small_training import small_config, train_small

CPU = torch.device("cpu")


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_bfloat16_where_the_processor_multiplies_it(monkeypatch, capability):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: True})
    assert fabric.choose_precision("auto", CPU) == "bf16-mixed"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, capability: False})
    assert fabric.choose_precision("auto", CPU) == "32-true"
    assert fabric.choose_precision("bf16", CPU) == "bf16-mixed"  # who asks for it gets it


@pytest.mark.parametrize(
    "given, environment, expected",
    [(3, {}, 3), (None, {"LOCAL_WORLD_SIZE": "2"}, 4), (None, {"LOCAL_WORLD_SIZE": "16"}, 1), (None, {}, 8)],
)
def test_threads_are_the_cores_shared_by_the_processes(monkeypatch, given, environment, expected):
    asked = []
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    device.set_threads(given)
    assert asked == [expected]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    device.set_threads(None)
    assert asked == [expected]  # PyTorch has read the variable itself


def test_a_device_that_is_not_there_is_refused():
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="--device cuda: there is none here; take --device auto"):
            fabric.make_fabric("cuda")


def test_who_only_asks_a_model_does_not_wait_for_the_library_of_training():
    asks = "import sys, retailsim.predict.predict, retailsim.training.evaluate, retailsim.report.report"
    subprocess.run([sys.executable, "-c", f"{asks}; assert 'lightning_fabric' not in sys.modules"], check=True)


def test_the_library_of_training_says_nothing_of_its_own():
    makes = "from retailsim.training.fabric import make_fabric; make_fabric('cpu', 'bf16')"
    done = subprocess.run([sys.executable, "-c", makes], check=True, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    "memory, baskets, expected", [(1000, 10**6, 512), (10**9, 10**6, 16_384), (10**9, 600, 256), (1, 9, 64)]
)
def test_the_batch_doubles_while_it_fits(memory, baskets, expected):
    assert batch_size.largest(lambda size: size <= memory, baskets) == expected


@pytest.mark.gpu
def test_a_gpu_trains_as_the_cpu_does_and_never_waits(tmp_path):
    """bfloat16 on CUDA within 3 % of float32 on the CPU; inside an epoch nothing makes the host wait for the device."""
    on_cpu = train_small(tmp_path / "cpu")
    modes = {(1, 1): "error", (1, 4): "default"}

    def watch(epoch, done, total):
        if (epoch, done) in modes:
            torch.cuda.set_sync_debug_mode(modes[epoch, done])

    on_gpu = train_small(
        tmp_path / "gpu", on_batch=watch, fabric=Fabric(accelerator="cuda", devices=1, precision="bf16-mixed")
    )
    for cpu, gpu in zip(on_cpu, on_gpu, strict=True):
        assert gpu.train_loss == pytest.approx(cpu.train_loss, rel=0.03)
        assert gpu.val_loss == pytest.approx(cpu.val_loss, rel=0.03)


@pytest.mark.gpu
def test_a_bad_step_is_named_on_a_gpu_too(tmp_path):
    with pytest.raises(UserError, match="infinite or not a number in epoch 1, step 2"):
        train_small(
            tmp_path,
            config=small_config(learning_rate=1e30, warmup_epochs=0),
            fabric=Fabric(accelerator="cuda", devices=1),
        )
