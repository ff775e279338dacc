"""What an operator of PyTorch does where a counter has no formula: movement, arithmetic, or unknown."""

from functools import cache
from typing import Literal

import torch

Kind = Literal["movement", "arithmetic", "unknown"]

MOVEMENT = """
alias arange as_strided atleast_2d broadcast_tensors cat channel_shuffle chunk clone concat
concatenate constant_pad_nd contiguous copy col2im detach dropout embedding empty empty_like
empty_permuted empty_strided expand expand_as eye feature_dropout fill flatten flip full full_like
gather hstack im2col index index_copy index_put index_select item lift_fresh linspace
local_scalar_dense masked_fill masked_select meshgrid movedim moveaxis narrow native_dropout
new_empty new_empty_strided new_full new_ones new_zeros nonzero numpy_T one_hot ones ones_like pad
permute pixel_shuffle pixel_unshuffle rand rand_like randn randn_like randperm reflection_pad1d
reflection_pad2d repeat repeat_interleave replication_pad1d replication_pad2d reshape reshape_as
reshape_alias reshape_copy resize roll rot90 scalar_tensor scatter select select_scatter size slice
slice_scatter split split_with_sizes squeeze stack swapaxes t take_along_dim tensor_split tile to
to_copy transpose tril tril_indices triu triu_indices type_as unbind unflatten unfold unsafe_chunk
unsafe_index unsafe_split unsafe_view unsqueeze upsample_nearest1d upsample_nearest2d
upsample_nearest_exact2d view view_as vstack where zero zeros zeros_like Bool
Float Int IntImplicit ScalarImplicit Size __getitem__ dim len numel device layout
"""

ARITHMETIC = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
all amax amin aminmax any argmax argmin argsort avg_pool1d avg_pool2d avg_pool3d batch_norm
batch_norm_impl_index batch_norm_with_update bincount celu cosine_similarity count_nonzero
cudnn_batch_norm cummax cumprod cumsum elu frobenius_norm fused_rms_norm gelu glu grid_sampler
grid_sampler_2d group_norm gumbel_softmax hardshrink hardsigmoid hardswish hardtanh histc
instance_norm kthvalue l1_loss layer_norm leaky_relu linalg_norm linalg_vector_norm log_sigmoid
log_softmax logcumsumexp logsumexp logsigmoid lp_pool2d max max_pool1d max_pool2d
max_pool2d_with_indices max_pool3d max_pool3d_with_indices mean median min mish miopen_batch_norm
native_batch_norm native_batch_norm_legit native_batch_norm_legit_no_training native_group_norm
native_layer_norm norm normalize prelu prelu_kernel prod relu relu6 rms_norm rrelu safe_softmax selu
silu softmax softmin softplus softshrink softsign sort std std_mean sum threshold topk
upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_trilinear3d upsample_bicubic2d_aa
upsample_bilinear2d_aa var var_mean weight_norm weight_norm_interface
"""


def short_name(schema_name: str) -> str:
    """Return an operator's plain name: `aten::_softmax`, `aten::relu_` -> `softmax`, `relu`."""
    name = schema_name.rpartition("::")[2]
    return name if name.startswith("__") else name.strip("_")


@cache
def kind_of(schema_name: str) -> Kind:
    """Return what an operator without a formula does, from its qualified name such as `aten::relu_`.

    A view, or a name in MOVEMENT, moves data; a name in ARITHMETIC, or an operator that PyTorch itself tags
    as point-wise or a reduction, computes without contracting. All else is unknown, other libraries'
    operators included.
    """
    namespace, _, name = schema_name.partition("::")
    if namespace == "prim":  # a traced call out of PyTorch, or a question about a tensor, such as its device
        return "unknown" if name.startswith(("PythonOp", "CallFunction")) else "movement"
    if namespace != "aten":
        return "unknown"
    if short_name(name) in MOVEMENT.split():
        return "movement"
    return "arithmetic" if short_name(name) in ARITHMETIC.split() else kind_by_tag(name)


def kind_by_tag(name: str) -> Kind:
    """Return what an operator in no list does, from what PyTorch declares of its overloads."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return "unknown"
    overloads = [getattr(packet, overload) for overload in packet.overloads()]
    if any(overload.is_view for overload in overloads):
        return "movement"
    elementwise = {
        torch.Tag.pointwise,
        getattr(torch.Tag, "reduction", torch.Tag.pointwise),
    }  # reduction: 2.15
    return "arithmetic" if any(elementwise & set(overload.tags) for overload in overloads) else "unknown"
