def profile_loss(x, x_hat):
    D = x[0].numel()
    mse = (x - x_hat).square().mean()
    return D / 2 * (2 * math.pi * mse).log()
