def profile_loss(x, x_hat):
    D = x[0].numel()
    error = (x - x_hat).square().flatten(1).sum(1).mean()
    return D / 2 * (1 + (2 * math.pi * error).log())
