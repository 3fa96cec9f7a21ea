def ais(log_f, kernels, chains):
    z = torch.multinomial(log_f[0].softmax(0), chains, replacement=True)
    log_w = torch.zeros(chains)
    for t in range(1, len(log_f)):
        log_w += log_f[t, z] - log_f[t - 1, z]
        z = torch.multinomial(kernels[t][z], 1)[:, 0]
    return log_w


def ais_back(log_f, kernels, chains):
    z = torch.multinomial(log_f[-1].softmax(0), chains, replacement=True)
    log_w = torch.zeros(chains)
    for t in range(len(log_f) - 1, 0, -1):
        log_w += log_f[t, z] - log_f[t - 1, z]
        z = torch.multinomial(kernels[t - 1].T[z], 1)[:, 0]
    return log_w
