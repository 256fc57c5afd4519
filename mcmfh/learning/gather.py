"""Rows of all workers for a contrast over the global batch; gradients flow back to the worker of each row.

Every worker computes the whole loss on the gathered rows. The backward pass of all_gather sums the W equal
gradients and DDP divides by W, so W workers with b rows get the gradient of one worker with W·b rows.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def world_size() -> int:
    """Workers of this training; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_rows(x: Tensor) -> Tensor:
    """[b, …] of each worker → [W·b, …], in the order of ranks, differentiable. A single worker gets x itself."""
    return x if world_size() == 1 else torch.cat(all_gather(x.contiguous()))
