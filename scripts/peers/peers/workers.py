"""How the processes are started that compute: convlab's own, those in Python, programs of their own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .engines import PROGRAMS
from .sources import RELEASE
from .turns import WorkerError

FOLDER = Path(__file__).resolve().parents[1]

PYTHON = [sys.executable, "-m"]

# What tells libraries how many threads to have, where nothing else does.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "RTEN_NUM_THREADS")

Command = list[str]
Start = Callable[[Path], Command]


def own(algorithm: str, model: Path, images: Path, threads: int, isa: str | None = None) -> Start:
    """Convlab's, by an algorithm, a family or `auto`, with an instruction set or the best."""
    command = [str(RELEASE / "examples/peer"), str(model), str(images)]
    options = ["--threads", str(threads), "--algorithm", algorithm, *(["--isa", isa] if isa else [])]
    return lambda output: [*command, str(output), *options]


def python(engine: str, model: Path, images: Path, threads: int) -> Start:
    """One of `ENGINES` or `LAYER_ENGINES`, on a model in the engine's own format."""

    def start(output: Path) -> Command:
        converted = _done([*PYTHON, "peers.convert", engine, str(model), str(output.parent)])
        return [*PYTHON, "peers.worker", engine, converted, str(images), str(output), "--threads", str(threads)]

    return start


def exact(model: Path, images: Path, output: Path) -> None:
    """Writes what `model` makes of `images` in f64, from beginning to end.

    # Raises
    WorkerError that names what is not computed in f64.
    """
    # Threads that multiply small matrices wait for each other for longer than they save.
    _done(["env", "OPENBLAS_NUM_THREADS=1", *PYTHON, "peers.exact", str(model), str(images), str(output)])


def program(engine: str, folder: Path, threads: int) -> Start:
    """One of `PROGRAMS`, on what `peers/problems.py` wrote into `folder`."""
    chosen = PROGRAMS[engine]

    def start(output: Path) -> Command:
        path = FOLDER / chosen.path
        if not path.exists():
            raise WorkerError(f"{chosen.path} is not built: scripts/peers/setup")
        variables = [f"{name}={threads}" for name in THREAD_VARIABLES]
        # Where oneDNN of this build looks for processors.
        variables.append(f"OCL_ICD_FILENAMES={FOLDER / '.venv/lib/libintelocl.so'}")
        files = [str(folder / chosen.model), str(folder / "images.npy"), str(output)]
        # One that has threads beside those which compute is kept to as many processors as those may have.
        confined = ["taskset", "--cpu-list", f"0-{threads - 1}"] if chosen.confined else []
        return ["env", *variables, *confined, str(path), *files, "--threads", str(threads)]

    return start


def _done(command: Command) -> str:
    """What a program says that is not asked anything."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise WorkerError(said[-1] if said else f"{' '.join(command)} ended with code {done.returncode}")
    return done.stdout.strip()
