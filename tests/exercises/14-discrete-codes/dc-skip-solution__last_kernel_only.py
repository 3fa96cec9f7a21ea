def back(kernels, s, t, x_t, x_0):
    before = torch.eye(kernels.shape[1])
    for Q in kernels[:s]:
        before = before @ Q
    joint = before[x_0] * kernels[t - 1].T[x_t] + 1e-30
    return joint / joint.sum(-1, keepdim=True)
