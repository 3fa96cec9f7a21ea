from torch.distributions import Categorical


def ais(log_f, kernels, chains):
    # the same steps, numbered otherwise: first a move that leaves what the state is drawn from
    z = Categorical(logits=log_f[0]).sample((chains,))
    log_w = 0
    for before, after, kernel in zip(log_f, log_f[1:], kernels):
        z = Categorical(kernel[z]).sample()
        log_w = log_w + after[z] - before[z]
    return log_w


def ais_back(log_f, kernels, chains):
    z = Categorical(logits=log_f[-1]).sample((chains,))
    log_w = 0
    for t in reversed(range(len(log_f) - 1)):
        p = log_f[t + 1].softmax(0)
        reverse = p * kernels[t + 1].T / p[:, None]  # from after to before
        z = Categorical(reverse[z]).sample()
        log_w = log_w + (log_f[t + 1] - log_f[t])[z]
    return log_w
