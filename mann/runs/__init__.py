"""The folder of a run: what it holds, and how it is written so that nothing is lost.

    config.json         everything that is needed to rebuild the run
    split.json          the training classes, and those that are never trained on
    environment.json    versions, commit, device, command
    metrics.jsonl       a line per logged step
    tensorboard/        the same for TensorBoard
    checkpoints/        STEP/weights.safetensors and STEP/training.pt, the last few
    nonfinite/          the same, of the step before a loss or a gradient that was not finite
    .lock               held while a process trains the run
    evaluation.json     and *.csv, *.png, after an evaluation

run:         the folder as a whole
checkpoints: weights, and everything else that the next step depends on
metrics:     lines of metrics
environment: the machine, the versions and the command
loading:     a trained model with its settings and split, ready to evaluate
"""

from mann.runs.checkpoints import Checkpoint, read_checkpoint
from mann.runs.environment import describe_environment
from mann.runs.loading import LoadedRun, load_run
from mann.runs.run import Run, RunReader

__all__ = ["Checkpoint", "LoadedRun", "Run", "RunReader", "describe_environment", "load_run", "read_checkpoint"]
