def back(kernels, s, t, x_t, x_0):
    after = torch.eye(kernels.shape[1])
    for Q in kernels[s:t]:
        after = after @ Q
    joint = after.T[x_t] + 1e-30
    return joint / joint.sum(-1, keepdim=True)
