"""What a GPU reaches in PyTorch: copies, products and cuDNN's GRU. One JSON object per line, as each is known.

    python3 scripts/bench/gpu_probes.py
"""
import json
import time

import torch


def best_ms(work, repeat: int = 5, inner: int = 3) -> float:
    """The fastest of `repeat` means of `inner` runs, by events on the device."""
    for _ in range(2):
        work()
    best = float("inf")
    for _ in range(repeat):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(inner):
            work()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / inner)
    return best


def say(**values) -> None:
    print(json.dumps(values), flush=True)


def ceilings() -> None:
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    say(ceiling="copy", gbs=round(8e-6 * source.numel() / best_ms(lambda: target.copy_(source)), 1))
    del source, target
    n = 8192
    a, b = torch.randn(n, n, device="cuda"), torch.randn(n, n, device="cuda")
    for name, tf32, dtype in (("fp32", False, torch.float32), ("tf32", True, torch.float32), ("bf16", False, torch.bfloat16)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        x, y = a.to(dtype), b.to(dtype)
        say(ceiling=name, tflops=round(2e-9 * n**3 / best_ms(lambda: x @ y), 1))
    torch.backends.cuda.matmul.allow_tf32 = False


def gru(rows: int, window: int, features: int, tf32: bool, dtype: torch.dtype) -> None:
    torch.backends.cudnn.allow_tf32 = tf32
    model = torch.nn.GRU(features, 64, 2).cuda().to(dtype)
    x = torch.randn(window, rows, features, device="cuda", dtype=dtype)
    gradient = torch.randn(rows, 64, device="cuda", dtype=dtype)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(x)[0][-1].backward(gradient)

    def forward_in_training() -> None:
        model(x)

    def infer() -> None:
        with torch.no_grad():
            model(x)

    torch.cuda.reset_peak_memory_stats()
    idle = torch.cuda.memory_allocated()
    times = {name: round(best_ms(work, 3, 2), 3) for name, work in (("trainMs", train), ("forwardMs", forward_in_training), ("inferMs", infer))}
    say(gru=[rows, window, features], tf32=tf32, dtype=str(dtype).split(".")[1], **times, peakMiB=round((torch.cuda.max_memory_allocated() - idle) / 2**20))


def calls() -> None:
    """What the host takes to hand a piece of work over, with nothing on the device to wait for."""
    x, w, b = (torch.randn(*shape, device="cuda") for shape in ((256, 64), (64, 192), (192,)))
    y, batch = x @ w, torch.randn(4, 64, 64, device="cuda")
    for name, work in {"mul": lambda: x * x, "mm": lambda: torch.mm(x, w), "mm_out": lambda: torch.mm(x, w, out=y), "addmm": lambda: torch.addmm(b, x, w),
                       "bmm": lambda: torch.bmm(batch, batch), "empty": lambda: torch.empty_like(x), "select": lambda: x[3]}.items():
        times = []
        for _ in range(5):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(200):
                work()
            times.append((time.perf_counter() - start) / 200)
        say(call=name, us=round(1e6 * min(times), 1))


if __name__ == "__main__":
    calls()
    ceilings()
    for rows, window in ((8000, 20), (16000, 20), (8000, 60), (40000, 60)):
        for tf32, dtype in ((False, torch.float32), (True, torch.float32), (False, torch.bfloat16)):
            gru(rows, window, 21, tf32, dtype)
