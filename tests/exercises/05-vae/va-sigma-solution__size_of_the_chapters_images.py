def profile_loss(x, x_hat):
    mse = (x - x_hat).square().mean((0, 2, 3))
    return (64 / 2 * (1 + (2 * math.pi * mse).log())).sum()
