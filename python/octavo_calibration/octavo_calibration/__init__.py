"""Records what the linear layers of a running PyTorch model are given, and writes it as a file for
`octavo convert --calibration-data`.

    from octavo_calibration import record

    with record(pipeline.transformer, "inputs.safetensors"):
        for prompt in prompts:
            pipeline(prompt)
"""

from .recorder import Recorder, record
from .reservoir import Reservoir

__all__ = ["Recorder", "Reservoir", "record", "calibrate"]
__version__ = "0.1.0"


def calibrate(model, run, path, **options):
    """Calls `run()`, which uses `model`, and writes the inputs of its layers to `path`. Options as for Recorder.
    Returns what Recorder.save returns."""
    with Recorder(model, **options) as recorder:
        run()
    return recorder.save(path)
