def back(kernels, s, t, x_t, x_0):
    at = nn.functional.one_hot(x_t, kernels.shape[1]).float()  # (..., K), where it is at time u
    for u in range(t, s, -1):
        bar = torch.eye(kernels.shape[1])
        for Q in kernels[: u - 1]:
            bar = bar @ Q
        joint = bar[x_0][..., None] * kernels[u - 1]  # (..., x_(u-1), x_u), given x_0
        at = (joint / joint.sum(-2, keepdim=True).clamp(min=1e-30) * at[..., None, :]).sum(-1)
    return at
