def back(kernels, s, t, x_t, x_0):
    before = after = torch.eye(kernels.shape[1])
    for Q in kernels[:s]:
        before = Q @ before
    for Q in kernels[s:t]:
        after = Q @ after
    joint = before[x_0] * after.T[x_t] + 1e-30
    return joint / joint.sum(-1, keepdim=True)
