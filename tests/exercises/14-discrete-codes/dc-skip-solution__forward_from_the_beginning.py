def back(kernels, s, t, x_t, x_0):
    before = torch.eye(kernels.shape[1])
    for Q in kernels[:s]:
        before = before @ Q
    return before[x_0]
