"""The measured PyTorch side: one JSON request per line in, one answer out; sleeps on its input in between.

    python peer.py REFERENCE_FOLDER THREADS cpu|cuda [--malloc] [--tf32] [--allow-rnn]

The model, its loss and its step are those of astgnn_pytorch.py in REFERENCE_FOLDER; this file adds clocks around them.
"""
from __future__ import annotations

import ctypes
import json
import os
import sys
import time

sys.path.insert(0, sys.argv[1])

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from astgnn_pytorch import BatchedASTGNN, minus_ic  # noqa: E402
from astgnn_reference import Config  # noqa: E402
from qlib_gats import QlibGATs, train_step  # noqa: E402

DEVICE = sys.argv[3]


def status_mib(field: str) -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


class Memory:
    """Maximum RSS since `start` less the RSS at `start`."""

    def start(self) -> None:
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # sets VmHWM back to VmRSS
            self.idle = status_mib("VmRSS")
        except OSError:
            self.idle = status_mib("VmHWM")

    def peak(self) -> float:
        return status_mib("VmHWM") - self.idle


class DeviceMemory:
    """The same of the GPU's memory."""

    def start(self) -> None:
        torch.cuda.reset_peak_memory_stats()
        self.idle = torch.cuda.memory_allocated()

    def peak(self) -> float:
        return (torch.cuda.max_memory_allocated() - self.idle) / 2**20


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def clock(work) -> tuple[float, object]:
    synchronize()
    start = time.perf_counter()
    result = work()
    synchronize()
    return 1e3 * (time.perf_counter() - start), result


class Measured:
    """One configuration in one mode."""

    def __init__(self, r: dict):
        self.training, self.repeat = r["mode"] == "train", r["repeat"]
        torch.manual_seed(0)
        self.model = BatchedASTGNN(Config(sequential_input_size=r["f"])).to(DEVICE)
        self.sequences = torch.randn(r["t"], r["b"], r["n"], r["f"], device=DEVICE)
        self.label = torch.randn(r["b"], r["n"], device=DEVICE)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.run = torch.compile(self.model) if r.get("compile") else self.model
        self.model.train(self.training)
        self.memory = Memory() if DEVICE == "cpu" else DeviceMemory()
        self.memory.start()

    def loss(self) -> torch.Tensor:
        return minus_ic(self.run(self.sequences)[0][..., 0], self.label)

    def step(self) -> float:
        work = self.train_step if self.training else self.infer_step
        return clock(lambda: [work() for _ in range(self.repeat)])[0] / self.repeat

    def train_step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.loss().backward()
        self.optimizer.step()

    @torch.no_grad()
    def infer_step(self) -> None:
        self.run(self.sequences)

    def blocks(self) -> dict:
        """Each block alone on the step's shapes, forward and, in training, backward; `total`: model and loss."""
        with torch.set_grad_enabled(self.training):
            forward = {"gru": self.gru(), "graphAttention": self.graph_attention(),
                       "relationalEmbedding": self.relational_embedding(), "total": self.loss}
            return {name: self.timed(work) for name, work in forward.items()}

    def timed(self, work) -> dict:
        self.optimizer.zero_grad(set_to_none=True)
        forward, out = clock(work)
        if not self.training:
            return {"forward": forward}
        gradient = torch.ones_like(out)
        return {"forward": forward, "backward": clock(lambda: out.backward(gradient))[0]}

    def gru(self):
        flat = self.sequences.flatten(1, 2)
        return lambda: self.model.factor_extractor.encode(flat)

    # What follows are the lines of BatchedASTGNN.forward, from the inputs of our ops to their outputs.
    def graph_attention(self):
        gat, (_, b, n, _) = self.model.factor_extractor.gat, self.sequences.shape
        v = torch.randn(b, n, gat.heads, gat.head_size, requires_grad=self.training)
        source, target = (torch.randn(b, gat.heads, n, requires_grad=self.training) for _ in range(2))

        def forward() -> torch.Tensor:
            e = F.leaky_relu(source.unsqueeze(-1) + target.unsqueeze(-2), gat.slope)
            dropped = F.dropout(v, gat.dropout, self.training)
            out = torch.matmul(torch.softmax(e, dim=-1), dropped.transpose(1, 2))
            return out.transpose(1, 2).reshape(b * n, -1)
        return forward

    def relational_embedding(self):
        c, re, (_, b, n, f) = self.model.config, self.model.relational_embedding, self.sequences.shape
        m = torch.tanh(torch.randn(b * n, c.num_risk_factors)).requires_grad_(self.training)
        # relational_input "features", the default: nobody asks for the gradient of x.
        x = self.sequences[-1].contiguous()

        def forward() -> torch.Tensor:
            mb = F.dropout(m, c.dropout, self.training).view(b, n, -1)
            a = torch.softmax(torch.relu(re.fixed_scale * torch.matmul(mb, mb.transpose(1, 2))), dim=-1)
            z = x.view(b, n, f)
            for i, layer in enumerate(re.layers):
                y = torch.matmul(z, layer.weight)
                z = torch.baddbmm(y, a, y, beta=1.0, alpha=layer.sign) + layer.bias
                if i + 1 < len(re.layers):
                    z = F.dropout(F.relu(z), c.dropout, self.training)
            return z
        return forward


class Epoch:
    """The NASDAQ protocol's loop: one date is a batch, windows are slices of one resident tensor."""

    def __init__(self, r: dict):
        d, s, f = r["dates"], r["stocks"], r["featureCount"]

        def load(name: str, dtype: torch.dtype, shape) -> torch.Tensor:
            size = torch.Size(shape).numel()
            return torch.from_file(f"{r['folder']}/{name}", shared=False, size=size, dtype=dtype).view(shape).clone()
        self.panel, self.targets = load("features", torch.float32, (d, s, f)), load("targets", torch.float32, (d, s))
        self.offsets = load("rowOffsets", torch.int32, (d + 1,)).tolist()
        self.stocks = load("rowStocks", torch.int32, (self.offsets[-1],)).long()
        self.window = r["window"]
        torch.manual_seed(0)
        self.model = BatchedASTGNN(Config(sequential_input_size=f, relational_input="state", relational_skip=True, exclude_self=True))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.0)

    def rows(self, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        stocks = self.stocks[self.offsets[t]:self.offsets[t + 1]]
        sequences = self.panel[t - self.window + 1:t + 1].index_select(1, stocks).unsqueeze(1)  # [T, 1, N, F]
        return sequences, self.targets[t, stocks]

    def train(self, dates: list[int]) -> None:
        self.model.train()
        for t in dates:
            sequences, target = self.rows(t)
            known = torch.isfinite(target)
            self.optimizer.zero_grad(set_to_none=True)
            prediction = self.model(sequences)[0][0, :, 0]
            minus_ic(prediction[known].unsqueeze(0), target[known].unsqueeze(0)).backward()
            self.optimizer.step()

    @torch.no_grad()
    def predict(self, dates: list[int]) -> None:
        self.model.eval()
        for t in dates:
            self.model(self.rows(t)[0])


class QlibEpoch(Epoch):
    """The same rows through Qlib's GATs at its defaults, without what its loader of data frames takes."""

    def __init__(self, r: dict):
        super().__init__(r)
        self.model = QlibGATs(r["featureCount"])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def train(self, dates: list[int]) -> None:
        self.model.train()
        for t in dates:
            sequences, target = self.rows(t)
            train_step(self.model, self.optimizer, self.batch_first(sequences), target)

    @torch.no_grad()
    def predict(self, dates: list[int]) -> None:
        self.model.eval()
        for t in dates:
            self.model(self.batch_first(self.rows(t)[0]))

    @staticmethod
    def batch_first(sequences: torch.Tensor) -> torch.Tensor:
        return sequences.squeeze(1).transpose(0, 1).contiguous()


def sample(r: dict) -> dict:
    """A model, an input and its outputs in evaluation mode: what the other side must reproduce before it is compared."""
    torch.manual_seed(1)
    model = BatchedASTGNN(Config(sequential_input_size=r["f"])).eval().to(DEVICE)
    sequences = torch.randn(r["t"], 1, r["n"], r["f"]).to(DEVICE)
    with torch.no_grad():
        predictions, factors = model(sequences)
    state = {name: {"shape": list(value.shape), "data": value.flatten().tolist()} for name, value in model.state_dict().items()}
    return {"state": state, "features": sequences.flatten().tolist(),
            "predictions": predictions.flatten().tolist(), "riskFactors": factors.flatten().tolist()}


def describe() -> dict:
    sides = {"torch": torch.__version__, "python": sys.version.split()[0]}
    if DEVICE == "cpu":
        return sides
    gpu = torch.cuda.get_device_properties(0)
    return {**sides, "gpu": gpu.name, "gpuMemoryMiB": round(gpu.total_memory / 2**20), "cuda": torch.version.cuda}


def best_ms(work, repeat: int = 7) -> float:
    for _ in range(2):
        work()
    return min(clock(work)[0] for _ in range(repeat))


def peaks() -> dict:
    """What a GPU's best float32 product and its best copy (bytes read and written) reach."""
    a, b = torch.randn(8192, 8192, device=DEVICE), torch.randn(8192, 8192, device=DEVICE)
    gflops = 2e-6 * 8192**3 / best_ms(lambda: torch.mm(a, b))
    source = torch.empty(2**28, device=DEVICE)
    target = torch.empty_like(source)
    return {"gflops": gflops, "bandwidthGBs": 8e-6 * source.numel() / best_ms(lambda: target.copy_(source))}


def read_table(file: str, columns: list[str]) -> dict:
    """Seconds to read the columns into a data frame, for the readers that this interpreter has."""
    seconds, missing = {}, {}
    for name in ("pandas", "polars"):
        try:
            library = __import__(name)
            ms, _ = clock(lambda: library.read_parquet(file, columns=columns))
            seconds[name] = ms / 1e3
        except ImportError as error:
            missing[name] = str(error).split("\n")[0]
    return {"seconds": seconds, "missing": missing}


def polars_features(file: str) -> dict:
    try:
        import polars_features as measured
    except ImportError as error:
        return {"missing": str(error).split("\n")[0]}
    return measured.measure(file)


def main() -> None:
    os.environ["POLARS_MAX_THREADS"] = sys.argv[2]
    if "--malloc" in sys.argv:  # as --malloc-fix of astgnn_pytorch.py
        libc = ctypes.CDLL("libc.so.6")
        for key, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 64 << 20)):
            libc.mallopt(key, value)
    torch.set_num_threads(int(sys.argv[2]))
    if "--allow-rnn" in sys.argv:
        torch._dynamo.config.allow_rnn = True
    # Else float32 everywhere, as on the CPU.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "--tf32" in sys.argv
    measured = epoch = None
    for line in sys.stdin:
        r = json.loads(line)
        command = r["command"]
        try:
            if command == "describe":
                answer = describe()
            elif command == "prepare":
                measured = Measured(r)
                answer = {"parameters": sum(p.numel() for p in measured.model.parameters())}
            elif command == "step":
                answer = {"ms": measured.step()}
            elif command == "memory":
                answer = {"peakMiB": measured.memory.peak()}
            elif command == "blocks":
                answer = {"blocks": measured.blocks()}
            elif command == "peaks":
                answer = peaks()
            elif command == "sample":
                answer = sample(r)
            elif command == "epoch":
                epoch = (QlibEpoch if r["model"] == "qlib" else Epoch)(r)
                answer = {"parameters": sum(p.numel() for p in epoch.model.parameters())}
            elif command in ("train", "predict"):
                answer = {"ms": clock(lambda: getattr(epoch, command)(r["dates"]))[0]}
            elif command == "read":
                answer = read_table(r["file"], r["columns"])
            elif command == "features":
                answer = polars_features(r["file"])
            else:
                answer = {"error": f"unknown command {command}"}
        except Exception as error:  # the driver decides what a failure means
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
