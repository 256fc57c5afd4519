"""The endpoint's application under uvicorn alone: the endpoint without Ray Serve.

python -m mcmfh.benchmarks.serving.bare PORT CONFIG_JSON
"""

import sys

import torch
import uvicorn

from mcmfh.config import Config
from mcmfh.serving.application import application
from mcmfh.serving.replica import Replica

if __name__ == "__main__":
    port, config = sys.argv[1:]
    torch.set_num_threads(1)
    replica = Replica(Config.model_validate_json(config))
    uvicorn.run(application(replica), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
