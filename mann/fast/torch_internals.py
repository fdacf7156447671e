"""All private names of torch that compiling uses; no other file of this project has one (a test holds that).

A release of torch may rename any of them. Then this module cannot be imported, and networks run uncompiled with a
warning (`mann.fast.checked`). docs/fast-path.md says what each is for, and how to try another version.
"""
# ruff: noqa: F401  imported for others

import logging
import warnings

import torch._inductor.lowering  # before the modules that it imports, which import it too
from torch._C._aoti import alloc_tensors_by_stealing_from_void_ptrs as tensors_of_handles
from torch._C._aoti import unsafe_alloc_void_ptrs_from_tensors as handles_of_tensors
from torch._C._autograd import _get_current_graph_task_keep_graph as retains_graph
from torch._functorch import config as partitioner_config
from torch._functorch.partitioners import get_default_op_list
from torch._guards import TracingContext, tracing
from torch._inductor import config, ir
from torch._inductor.codecache import CppWrapperCodeCache
from torch._inductor.codegen.cpp_template import CppTemplate
from torch._inductor.cpu_vec_isa import VecISA
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes.joint_graph import joint_graph_passes
from torch._inductor.kernel.bmm import tuned_baddbmm, tuned_bmm
from torch._inductor.kernel.mm import tuned_addmm, tuned_mm
from torch._inductor.lowering import fallback_handler, lowerings, make_pointwise
from torch._inductor.virtualized import ops
from torch._subclasses import FakeTensorMode
from torch._subclasses.functional_tensor import dispatch_functionalize

# Where nvcc is installed without a GPU, torch warns that the two do not match, which does not matter here.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's, about its own code
    from torch._inductor.compile_fx import compile_fx_inner
