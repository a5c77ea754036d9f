"""SIGTERM and Ctrl-C as a wish that training grants at the next step: it saves and ends (SPEC C29)."""

import signal
import threading
from types import FrameType, TracebackType

import torch
from lightning_fabric import Fabric

EXIT_CODE = {signal.SIGTERM: 0, signal.SIGINT: 130}  # of a training that was asked to stop and has saved
ASK_OTHERS_EVERY = 10  # steps between two questions whether another process was asked to stop


class Stopped(Exception):
    """Training ends here because it was asked to, by `signal`."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal = signal.Signals(signal_number)


class StopWish:
    """While the block lasts, the first SIGTERM or Ctrl-C is only noted; a second one acts as it would have without it."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.signal_number = 0
        self.calls = 0
        self.before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> "StopWish":
        if threading.current_thread() is threading.main_thread():  # handlers can be set nowhere else
            for number in (signal.SIGTERM, signal.SIGINT):
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def granted(self) -> int:
        """The signal to stop for, 0 for none; several processes stop at the same step and call this equally often."""
        self.calls += 1
        if self.fabric.world_size == 1:
            return self.signal_number
        if self.calls % ASK_OTHERS_EVERY:
            return 0
        asked = torch.tensor(float(self.signal_number), device=self.fabric.device)
        torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        return int(asked)

    def check_alone(self) -> None:
        """Raise Stopped when this process, which trains alone, was asked to stop."""
        if self.fabric.world_size == 1 and self.signal_number:
            raise Stopped(self.signal_number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        while self.before:
            signal.signal(*self.before.popitem())
