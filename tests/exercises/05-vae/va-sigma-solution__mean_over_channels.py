def profile_loss(x, x_hat):
    mse = (x - x_hat).square().mean((0, 2, 3))
    return (x[0].numel() / 2 / x.shape[1] * (1 + (2 * math.pi * mse).log())).mean()
