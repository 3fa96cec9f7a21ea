def back(kernels, s, t, x_t, x_0):
    before = after = torch.eye(kernels.shape[1])
    for Q in kernels[:s]:
        before = before @ Q
    for Q in kernels[s:t]:
        after = after @ Q
    return before[x_0] * after.T[x_t]
